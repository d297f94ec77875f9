"""Tables of the words that make a name secret or ordinary, and of the names of secret files.

Names are weak, medium or strong; see `secret_names`. All words are in lower case.
Imports no other part of provml.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# -- names ------------------------------------------------------------------------------------

STRONG_WORDS: Final = _words(
    """
    password passwords passwd passwds passphrase passphrases passcode passcodes pwd pwds
    secret secrets credential credentials creds authorization jwt mnemonic apikey
    apikeys accesskey accesskeys secretkey secretkeys privatekey privatekeys authkey
    accountkey sharedaccesskey storagekey signingkey masterkey encryptionkey licensekey
    sshkey passkey keypass storepass clientsecret clientkey servicekey authtoken
    authtokens accesstoken accesstokens refreshtoken idtoken sessiontoken bearertoken
    hftoken ghtoken githubtoken gitlabtoken apitoken apitokens usertoken csrftoken
    xsrftoken dbpass userpass rootpass sshpass dbpwd mysqlpwd rootpw bindpw passwort
    kennwort contraseña contrasena senha motdepasse wachtwoord 密码 密钥 口令 пароль
    """
)
"""Words that make a name strong, wherever they are in the name.

There are two exceptions: a name of several words is ordinary if its last word is in `PLAIN_HEADS`,
or if its first word is in `PLAIN_STARTS`.
"""

MEDIUM_WORDS: Final = _words(
    """
    pass pw token tokens key cred dsn pat pin otp totp auth cookie cookies bearer
    """
)
"""Words that make a name medium if they are its last word.

There are two exceptions. A name is ordinary if `PLAIN_QUALIFIERS` lists its second-last word for
its last word. A name is weak if it consists only of a word in `WEAK_WORDS`.
"""

WEAK_WORDS: Final = _words(
    """
    key auth pin pat otp bearer
    """
)
"""Words that make a name weak if they are the whole name.

In running text, the value of such a name is masked only if the value looks random.
"""

PIN_QUALIFIERS: Final = _words(
    """
    user card sim security login account door my bank auth device phone unlock
    """
)
"""Words before ``pin`` that make a name medium. Any other pin is usually part of a connector."""

KEY_QUALIFIERS: Final = _words(
    """
    api access secret private account signing encryption ssh auth license client service
    storage shared master deploy admin app application db database priv consumer
    subscription webhook gpg pgp tls ssl rsa aes hmac session cookie user
    """
)
"""Words that make a name strong if they come directly before ``key`` or ``keys``."""

TOKEN_QUALIFIERS: Final = _words(
    """
    api access auth bearer refresh session id hf huggingface hub github gh gitlab wandb
    mlflow neptune comet personal security sas jwt oauth client slack discord telegram
    bot npm pypi docker azure aws gcp google openai anthropic cohere kaggle vault consul
    nomad jenkins circleci travis codecov sonar snyk sentry datadog grafana databricks
    heroku netlify vercel cloudflare digitalocean twilio stripe square shopify notion
    linear jira atlassian bitbucket figma dropbox zenodo csrf xsrf device deploy
    registry upload secret user login push ci replicate clearml
    """
)
"""Words that make a name strong if they come directly before ``token`` or ``tokens``."""

PLAIN_QUALIFIERS: Final = {
    "token": _words(
        """
    pad eos bos unk sep cls mask special start end stop image img text next last first
    prev previous num n max min new per each class query prompt input output label
    target source video audio think begin separator delimiter newline ignore dummy
    additional context avg mean total train eval val test sample word sub char byte
    prefix suffix middle fim eot eod eom soh assistant system tool function blank space
    boundary decoder encoder forced distill latent global local patch position visual
    vision speech semantic acoustic code vocab chunk time memory mem state reward action
    rare oov null empty punct content header footer row col table cell language lang src
    tgt bos/eos prediction predicted generated completion reserved padding masked extra
    added seq sequence drop keep top bottom best draft accepted decoder_start forced_bos
    register current cur this that any no by of mm pixel frame
    """
    ),
    "key": _words(
        """
    primary foreign sort cache public partition dict image img label target query num n
    random prng rng jax input output obs observation batch metric state group merge join
    index feature column object s hot shortcut lookup text data monitor stopping best
    loss prompt answer test train val eval default unique natural composite candidate
    surrogate parent child map hash row order shard routing bucket config cfg setting
    param parameter name field attr attribute first last next prev previous new old
    current cur any no each other this that per attention attn kv head value values mask
    pad padding time date timestamp file path dataset split column translation i18n
    locale message press arrow enter space tab escape ctrl alt shift meta super musical
    song the a is has by of for return result results pixel score reward action
    embedding vector weight logits sequence seq token vocab word idempotency aggregation
    filter root json yaml toml xml tree rank worker task job run experiment trial entry
    schema
    """
    ),
    "pass": _words(
        """
    first second third one two single multi num n forward backward low high band by
    final last next full fast render test tests all no each per max min train eval val
    optimizer compiler boarding through did must should
    """
    ),
    "pat": _words(
        """
    glob file regex regexp search match include exclude name path
    """
    ),
    "auth": _words(
        """
    use has is no need needs require requires enable with without
    """
    ),
    "pw": _words(
        """
    num n
    """
    ),
}
"""For each medium word, the preceding words that make a name ordinary, as in ``pad_token``."""
for _other, _as in (("tokens", "token"), ("keys", "key")):
    PLAIN_QUALIFIERS[_other] = PLAIN_QUALIFIERS[_as]

PLAIN_HEADS: Final = _words(
    """
    length len size count counts num number type types kind path paths file files
    filename dir directory folder name names policy policies enabled disabled required
    optional url uri urls endpoint ttl expiry expires expiration timeout age format
    field fields column columns rate dropout embedding embeddings loss losses accuracy
    acc ratio sec secs seconds second ms id ids index indices idx max min limit limits
    budget usage used cost costs price class classes method methods mode provider
    manager store backend service services server host port hosts region version
    versions rotation reset resets strength hint hints prompt prompts label labels level
    levels scope scopes header headers separator sep padding mask masks attention pos
    position positions dim dims hidden heads head layers layer bias weight weights norm
    freq frequency entropy prob probs probability score scores logits logprob logprobs
    per dict dicts map maps mapping list type_ids manager managers cache caches buffer
    buffers stats statistics checker validator generator factory detector scanner test
    tests error errors exception exceptions missing invalid valid changed updated
    created status state states template templates regex pattern patterns rule rules
    column_name split splits strategy strategies mixing mixer pooling garden santa sauce
    agent service_name jar flag flags date time at on off exists present set
    """
)

PLAIN_STARTS: Final = _words(
    """
    has is use num no max min n show hide allow require requires require needs need with
    without enable disable skip ignore check validate verify reset change forgot update
    count
    """
)
"""Words that make a name ordinary if they come first, as in ``has_password`` or ``num_tokens``."""

NUMBER_WORDS: Final = _words(
    """
    password passwd passphrase passcode pwd pin otp passwort kennwort contraseña senha
    """
)
"""Words for secrets that may be numbers: the values are masked even if they are integers.

Integers with fewer than four digits are not masked.
"""

# -- files ------------------------------------------------------------------------------------

SECRET_FILES: Final = (
    # these names come from gitleaks, and from the manuals of the programs that read the files
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass"),
    *(
        ".my.cnf",
        ".mylogin.cnf",
        ".git-credentials",
        ".htpasswd",
        ".dockercfg",
        ".dockerconfigjson",
    ),
    *(".s3cfg", ".boto", ".vault-token", ".terraformrc", "*.tfvars", "*.tfvars.json", "*.tfstate"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.ovpn"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*credentials*", "*.htpasswd", "*.agekey"),
    *(
        "kubeconfig*",
        "*.kubeconfig",
        "kaggle.json",
        "service-account*.json",
        "service_account*.json",
    ),
    *("client_secret*.json", "local.settings.json", "wp-config.php", "*.secret", "*.secrets"),
)
"""Patterns for the names of files whose content provml does not store."""

SECRET_FILE_SUFFIXES: Final = _words(
    """
    yaml yml json toml ini cfg conf config txt properties xml csv enc gpg asc age bak
    local
    """
)
"""The suffixes of files that are secret if their names suggest a secret.

For example, ``secrets.yaml`` is secret, but ``secrets.py`` is not.
"""
