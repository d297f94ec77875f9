"""Tables of the names and formats of secrets. Imports no other part of provml.

The tables are compiled when provml first masks a text, not at import.

Sources
-------
The ``source`` of a format begins with one of these words:

- ``gitleaks``: a rule of gitleaks (MIT licence) in ``config/gitleaks.toml``. The rule's id follows.
- ``detect-secrets``: a plugin of Yelp's detect-secrets (Apache-2.0 licence). The plugin's name
  follows.
- ``vendor``: the documentation of a vendor, whose name follows.

The lengths in the formats are lower bounds. They are often shorter than the exact lengths in the
sources, because a vendor may change a length, and a text may be cut off.
"""

from __future__ import annotations

from typing import Final, NamedTuple


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

Exceptions are names whose last word is in `PLAIN_HEADS` or whose first word is in `PLAIN_STARTS`.
"""

MEDIUM_WORDS: Final = _words(
    """
    pass pw token tokens key cred dsn pat pin otp totp auth cookie cookies bearer
    """
)
"""Words that make a name secret if they are its last word.

Exceptions are names whose second-last word is in `PLAIN_QUALIFIERS`.
"""

WEAK_WORDS: Final = _words(
    """
    key auth pin pat otp bearer
    """
)
"""Words that are weak if they are the whole name.

In running text, the value of such a name is a secret only if it looks random.
"""

PIN_QUALIFIERS: Final = _words(
    """
    user card sim security login account door my bank auth device phone unlock
    """
)
"""Words before ``pin`` that make the name secret. Other pins usually belong to a connector."""

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

# -- formats ----------------------------------------------------------------------------------


class TokenFormat(NamedTuple):
    """A format of tokens that all begin with one prefix.

    Attributes:
        prefix: the text that each token begins with.
        body: a regular expression for the rest of the token, in ASCII bytes.
        source: where the format is documented.
    """

    prefix: str
    body: str
    source: str


_ALNUM20: Final = "[A-Za-z0-9]{20,}"
_HEX32: Final = "[A-Fa-f0-9]{32,}"
_URLSAFE: Final = r"[\w=.-]{20,}"

TOKEN_FORMATS: Final = (
    TokenFormat("ghp_", _ALNUM20, "gitleaks github-pat"),
    TokenFormat("gho_", _ALNUM20, "gitleaks github-oauth"),
    TokenFormat("ghu_", _ALNUM20, "gitleaks github-app-token"),
    TokenFormat("ghs_", _ALNUM20, "gitleaks github-app-token"),
    TokenFormat("ghr_", _ALNUM20, "gitleaks github-refresh-token"),
    TokenFormat("github_pat_", r"\w{20,}", "gitleaks github-fine-grained-pat"),
    TokenFormat("glpat-", r"[\w.-]{16,}", "gitleaks gitlab-pat"),
    TokenFormat("glptt-", r"[\w-]{20,}", "gitleaks gitlab-ptt"),
    TokenFormat("gldt-", r"[\w-]{20,}", "gitleaks gitlab-deploy-token"),
    TokenFormat("glrt-", r"[\w.-]{20,}", "gitleaks gitlab-runner-authentication-token"),
    TokenFormat("glcbt-", r"[\w-]{20,}", "gitleaks gitlab-cicd-job-token"),
    TokenFormat("glft-", r"[\w-]{20,}", "gitleaks gitlab-feed-token"),
    TokenFormat("glimt-", r"[\w-]{20,}", "gitleaks gitlab-incoming-mail-token"),
    TokenFormat("glagent-", r"[\w-]{20,}", "gitleaks gitlab-kubernetes-agent-token"),
    TokenFormat("gloas-", r"[\w-]{20,}", "gitleaks gitlab-oauth-app-secret"),
    TokenFormat("glsoat-", r"[\w-]{20,}", "gitleaks gitlab-scim-token"),
    TokenFormat("glffct-", r"[\w-]{20,}", "gitleaks gitlab-feature-flag-client-token"),
    TokenFormat("hf_", _ALNUM20, "gitleaks huggingface-access-token"),
    TokenFormat("api_org_", _ALNUM20, "gitleaks huggingface-organization-api-token"),
    TokenFormat("sk-", "[A-Za-z0-9]{16,}", "gitleaks openai-api-key"),
    TokenFormat("sk-proj-", r"[\w-]{16,}", "gitleaks openai-api-key"),
    TokenFormat("sk-svcacct-", r"[\w-]{16,}", "gitleaks openai-api-key"),
    TokenFormat("sk-admin-", r"[\w-]{16,}", "gitleaks openai-api-key"),
    TokenFormat("sk-None-", r"[\w-]{16,}", "detect-secrets openai"),
    TokenFormat("sk-ant-", r"[\w-]{16,}", "gitleaks anthropic-api-key"),
    TokenFormat("sk-or-v1-", r"[\w-]{16,}", "vendor OpenRouter"),
    TokenFormat("sk-or-", r"[\w-]{16,}", "vendor OpenRouter"),
    TokenFormat("sk-lf-", r"[\w-]{16,}", "vendor Langfuse"),
    TokenFormat("pplx-", _ALNUM20, "gitleaks perplexity-api-key"),
    TokenFormat("gsk_", _ALNUM20, "vendor Groq"),
    TokenFormat("xai-", r"[\w-]{20,}", "vendor xAI"),
    TokenFormat("r8_", _ALNUM20, "vendor Replicate"),
    TokenFormat("nvapi-", r"[\w-]{20,}", "vendor NVIDIA"),
    TokenFormat("csk-", _ALNUM20, "vendor Cerebras"),
    TokenFormat("fw_", _ALNUM20, "vendor Fireworks"),
    TokenFormat("tvly-", r"[\w-]{20,}", "vendor Tavily"),
    TokenFormat("lsv2_pt_", "[A-Za-z0-9_]{20,}", "vendor LangSmith"),
    TokenFormat("lsv2_sk_", "[A-Za-z0-9_]{20,}", "vendor LangSmith"),
    TokenFormat("pcsk_", "[A-Za-z0-9_]{20,}", "vendor Pinecone"),
    TokenFormat("wandb_v1_", r"[\w-]{20,}", "vendor Weights & Biases"),
    TokenFormat("KGAT_", _HEX32, "vendor Kaggle"),
    TokenFormat("sk_live_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("sk_test_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("sk_prod_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("rk_live_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("rk_test_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("rk_prod_", "[A-Za-z0-9]{10,}", "gitleaks stripe-access-token"),
    TokenFormat("whsec_", "[A-Za-z0-9+/=]{16,}", "vendor Stripe"),
    TokenFormat("npm_", _ALNUM20, "gitleaks npm-access-token"),
    TokenFormat("pypi-", r"AgE[\w-]{12,}", "gitleaks pypi-upload-token"),
    TokenFormat("rubygems_", "[a-f0-9]{32,}", "gitleaks rubygems-api-token"),
    TokenFormat("CLOJARS_", "[A-Za-z0-9]{40,}", "gitleaks clojars-api-token"),
    TokenFormat("dckr_pat_", r"[\w-]{20,}", "vendor Docker"),
    TokenFormat("dckr_oat_", r"[\w-]{20,}", "vendor Docker"),
    TokenFormat("xoxb-", r"[\w-]{10,}", "gitleaks slack-bot-token"),
    TokenFormat("xoxp-", r"[\w-]{10,}", "gitleaks slack-user-token"),
    TokenFormat("xoxe-", r"[\w-]{10,}", "gitleaks slack-config-refresh-token"),
    TokenFormat("xoxa-", r"[\w-]{8,}", "gitleaks slack-legacy-workspace-token"),
    TokenFormat("xoxr-", r"[\w-]{8,}", "gitleaks slack-legacy-workspace-token"),
    TokenFormat("xoxs-", r"[\w-]{10,}", "gitleaks slack-legacy-token"),
    TokenFormat("xoxo-", r"[\w-]{10,}", "gitleaks slack-legacy-token"),
    TokenFormat("xapp-1-", r"[\w-]{10,}", "gitleaks slack-app-token"),
    TokenFormat("dop_v1_", _HEX32, "gitleaks digitalocean-pat"),
    TokenFormat("doo_v1_", _HEX32, "gitleaks digitalocean-access-token"),
    TokenFormat("dor_v1_", _HEX32, "gitleaks digitalocean-refresh-token"),
    TokenFormat("shpat_", _HEX32, "gitleaks shopify-access-token"),
    TokenFormat("shpca_", _HEX32, "gitleaks shopify-custom-access-token"),
    TokenFormat("shppa_", _HEX32, "gitleaks shopify-private-app-access-token"),
    TokenFormat("shpss_", _HEX32, "gitleaks shopify-shared-secret"),
    TokenFormat("glsa_", "[A-Za-z0-9]{20,}_[A-Fa-f0-9]{8}", "gitleaks grafana-service-account"),
    TokenFormat("glc_", "[A-Za-z0-9+/]{32,}={0,3}", "gitleaks grafana-cloud-api-token"),
    TokenFormat("lin_api_", _ALNUM20, "gitleaks linear-api-key"),
    TokenFormat("lin_oauth_", _ALNUM20, "vendor Linear"),
    TokenFormat("ntn_", "[A-Za-z0-9]{30,}", "gitleaks notion-api-token"),
    TokenFormat("pnu_", _ALNUM20, "gitleaks prefect-api-token"),
    TokenFormat("pul-", "[a-f0-9]{40}", "gitleaks pulumi-api-token"),
    TokenFormat("pscale_tkn_", _URLSAFE, "gitleaks planetscale-api-token"),
    TokenFormat("pscale_pw_", _URLSAFE, "gitleaks planetscale-password"),
    TokenFormat("pscale_oauth_", _URLSAFE, "gitleaks planetscale-oauth-token"),
    TokenFormat("rdme_", _ALNUM20, "gitleaks readme-api-token"),
    TokenFormat("sntryu_", _HEX32, "gitleaks sentry-user-token"),
    TokenFormat("sntrys_", "eyJ[A-Za-z0-9+/=_]{20,}", "gitleaks sentry-org-token"),
    TokenFormat("tfp_", _URLSAFE, "gitleaks typeform-api-token"),
    TokenFormat("xkeysib-", r"[a-f0-9]{32,}-\w{8,}", "gitleaks sendinblue-api-token"),
    TokenFormat("PMAK-", r"[A-Fa-f0-9]{24}-[A-Fa-f0-9]{20,}", "gitleaks postman-api-token"),
    TokenFormat("NRAK-", _ALNUM20, "gitleaks new-relic-user-api-key"),
    TokenFormat("NRII-", r"[\w-]{20,}", "gitleaks new-relic-insert-key"),
    TokenFormat("NRJS-", "[a-f0-9]{19,}", "gitleaks new-relic-browser-api-token"),
    TokenFormat("API-", "[A-Z0-9]{26,}", "gitleaks octopus-deploy-api-key"),
    TokenFormat("GOCSPX-", r"[\w-]{20,}", "vendor Google OAuth client secret"),
    TokenFormat("HRKU-", r"AA[\w-]{40,}", "gitleaks heroku-api-key-v2"),
    TokenFormat("fo1_", r"[\w-]{30,}", "gitleaks flyio-access-token"),
    TokenFormat("fm2_", "[A-Za-z0-9+/]{60,}={0,3}", "gitleaks flyio-access-token"),
    TokenFormat("fio-u-", r"[\w=-]{40,}", "gitleaks frameio-api-token"),
    TokenFormat("shippo_live_", "[a-fA-F0-9]{30,}", "gitleaks shippo-api-token"),
    TokenFormat("shippo_test_", "[a-fA-F0-9]{30,}", "gitleaks shippo-api-token"),
    TokenFormat("duffel_live_", r"[\w=-]{30,}", "gitleaks duffel-api-token"),
    TokenFormat("duffel_test_", r"[\w=-]{30,}", "gitleaks duffel-api-token"),
    TokenFormat("FLWSECK_TEST-", r"[\w-]{12,}", "gitleaks flutterwave-secret-key"),
    TokenFormat("ops_", "eyJ[A-Za-z0-9+/=]{30,}", "gitleaks 1password-service-account-token"),
    TokenFormat("figd_", r"[\w-]{20,}", "vendor Figma"),
    TokenFormat("sbp_", _HEX32, "vendor Supabase"),
    TokenFormat("nfp_", _ALNUM20, "vendor Netlify"),
    TokenFormat("bkua_", "[a-f0-9]{30,}", "vendor Buildkite"),
    TokenFormat("rzp_live_", "[A-Za-z0-9]{14,}", "vendor Razorpay"),
    TokenFormat("CCIPAT_", r"\w{20,}", "vendor CircleCI"),
    TokenFormat("tskey-", r"(?:auth|api|client)-[\w-]{16,}", "vendor Tailscale"),
    TokenFormat("pat-na1-", r"[a-f0-9-]{30,}", "vendor HubSpot"),
    TokenFormat("pat-eu1-", r"[a-f0-9-]{30,}", "vendor HubSpot"),
    TokenFormat("sq0csp-", r"[\w-]{20,}", "detect-secrets square_oauth"),
    TokenFormat("sq0atp-", r"[\w-]{20,}", "gitleaks square-access-token"),
    TokenFormat("p8e-", "[A-Za-z0-9]{32}", "gitleaks adobe-client-secret"),
    TokenFormat("ico-", "[A-Za-z0-9]{32}", "gitleaks infracost-api-token"),
    TokenFormat("sgp_", "[A-Za-z0-9_]{40,}", "gitleaks sourcegraph-access-token"),
    TokenFormat("sm_aat_", "[A-Za-z0-9]{16}", "gitleaks settlemint-application-access-token"),
    TokenFormat("sm_pat_", "[A-Za-z0-9]{16}", "gitleaks settlemint-personal-access-token"),
    TokenFormat("s-s4t2ud-", _HEX32, "gitleaks intra42-client-secret"),
    TokenFormat("tk-us-", r"[\w-]{40,}", "gitleaks scalingo-api-token"),
    TokenFormat("v1.0-", "[a-f0-9]{24}-[a-f0-9]{100,}", "gitleaks cloudflare-origin-ca-key"),
    TokenFormat("AGE-SECRET-KEY-", "1[A-Z0-9]{40,}", "gitleaks age-secret-key"),
    TokenFormat("bedrock-api-key-", "[A-Za-z0-9+/=]{20,}", "gitleaks aws-amazon-bedrock-api-key"),
    TokenFormat("key-", "[a-f0-9]{32}", "gitleaks mailgun-private-api-token"),
    TokenFormat("dp.pt.", "[A-Za-z0-9]{30,}", "gitleaks doppler-api-token"),
    TokenFormat("SG.", r"[\w-]{16,}\.[\w-]{16,}", "gitleaks sendgrid-api-token"),
    TokenFormat("ya29.", r"[\w-]{20,}", "vendor Google OAuth access token"),
    TokenFormat("hvs.", r"[\w-]{20,}", "gitleaks vault-service-token"),
    TokenFormat("hvb.", r"[\w-]{20,}", "gitleaks vault-batch-token"),
    TokenFormat("dt0c01.", r"[A-Za-z0-9]{20,}\.[A-Za-z0-9]{30,}", "gitleaks dynatrace-api-token"),
    TokenFormat("sk.", r"eyJ[\w-]{20,}\.[\w-]{16,}", "vendor Mapbox"),
    TokenFormat("secret_", "[A-Za-z0-9]{43}", "vendor Notion"),
)
"""Token formats whose prefixes end with ``_``, ``-`` or ``.``.

These characters are rare in text, so searching for them is fast.
"""


class TokenPattern(NamedTuple):
    """A format of tokens that is defined by a regular expression instead of a prefix.

    Attributes:
        pattern: a regular expression for ASCII bytes. The expression begins with a literal
            character.
        before: the number of bytes before the match that also belong to the token.
        source: where the format is documented.
    """

    pattern: str
    before: int
    source: str


TOKEN_PATTERNS: Final = (
    TokenPattern(
        r"A(?<![A-Za-z0-9]A)(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{16}(?![A-Za-z0-9])",
        0,
        "gitleaks aws-access-token",
    ),
    TokenPattern(r"AIza(?<![A-Za-z0-9]AIza)[\w-]{30,}", 0, "gitleaks gcp-api-key"),
    TokenPattern(r"ABSK(?<![A-Za-z0-9]ABSK)[A-Za-z0-9+/]{60,}={0,2}", 0, "gitleaks aws-bedrock"),
    TokenPattern(r"ATATT3[\w=-]{40,}", 0, "gitleaks atlassian-api-token"),
    TokenPattern(r"ATBB(?<![A-Za-z0-9]ATBB)[A-Za-z0-9]{28,}", 0, "vendor Bitbucket"),
    TokenPattern(r"AKCp[A-Za-z0-9]{20,}", 0, "gitleaks artifactory-api-key"),
    TokenPattern(r"AC(?<![A-Za-z0-9]AC)[a-f0-9]{32}(?![A-Za-z0-9])", 0, "detect-secrets twilio"),
    TokenPattern(r"SK(?<![A-Za-z0-9]SK)[a-f0-9]{32}(?![A-Za-z0-9])", 0, "gitleaks twilio-api-key"),
    TokenPattern(r"AQVN(?<![A-Za-z0-9]AQVN)[\w-]{30,}", 0, "gitleaks yandex-api-key"),
    TokenPattern(r"LTAI(?<![A-Za-z0-9]LTAI)[A-Za-z0-9]{12,}", 0, "gitleaks alibaba-access-key-id"),
    TokenPattern(r"EAA[A-Z](?<![A-Za-z0-9]EAA[A-Z])[A-Za-z0-9]{60,}", 0, "gitleaks facebook"),
    TokenPattern(r"EZ[AT]K(?<![A-Za-z0-9]EZ[AT]K)[A-Za-z0-9]{40,}", 0, "gitleaks easypost"),
    TokenPattern(r"GR1348941[\w-]{16,}", 0, "gitleaks gitlab-rrt"),
    TokenPattern(
        r"J(?<=eyJ)(?<![\w-]eyJ)[\w-]{8,512}+\.[\w-]{8,}+(?:\.[\w-]*)?", 2, "gitleaks jwt"
    ),
    TokenPattern(r"J(?<=eyJ)hcGlf[A-Za-z0-9+/=_-]{20,}", 2, "vendor Neptune"),
    TokenPattern(r"//0(?<=1//0)(?<![\w/]1//0)[\w-]{30,}", 1, "vendor Google OAuth refresh token"),
    TokenPattern(r":A(?<=\d{8}:A)[\w-]{33,}", 0, "gitleaks telegram-bot-api-token"),
    TokenPattern(
        r"/(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/+-]{8,}",
        0,
        "gitleaks slack-webhook-url",
    ),
    TokenPattern(r"/(?<=/api/webhooks/)\d+/[\w-]{10,}", 0, "vendor Discord webhook"),
    TokenPattern(r"/(?<=/webhookb2/)[\w@/-]{20,}", 0, "gitleaks microsoft-teams-webhook"),
    TokenPattern(r"Q~(?<=\dQ~)[\w~.-]{30,}", 4, "gitleaks azure-ad-client-secret"),
    TokenPattern(
        r"\.(?<=[A-Za-z0-9]{14}\.)atlasv1\.[\w=-]{40,}", 14, "gitleaks hashicorp-tf-api-token"
    ),
    TokenPattern(
        r"\.(?<=[\w-]{24}\.)(?=\w*\d)[\w-]{6}\.(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{27,}(?![\w(.])",
        0,
        "detect-secrets discord",
    ),
    TokenPattern(r"-us(?<=[a-f0-9]{32}-us)\d{1,2}(?!\w)", 32, "detect-secrets mailchimp"),
)


class Phrase(NamedTuple):
    """A command or clause in which a secret follows a keyword.

    Attributes:
        first: a rare character of the keyword, which the search looks for.
        word: a regular expression for the part of the keyword after `first`, in lower case.
        rest: a regular expression for the text after the keyword, in ASCII bytes. Its group 1 is
            the secret.
        source: where the syntax of the phrase is documented.
    """

    first: str
    word: str
    rest: str
    source: str


PHRASES: Final = (
    Phrase(
        "&",
        r"(?:amp;)?(?:x-(?:amz|goog)-)?sig(?:nature)?=",
        r"([^&\s\"'#]{6,})",
        "vendor Azure shared access signatures; AWS and Google signed URLs",
    ),
    Phrase(
        "?",
        r"(?:x-(?:amz|goog)-)?sig(?:nature)?=",
        r"([^&\s\"'#]{6,})",
        "vendor Azure shared access signatures; AWS and Google signed URLs",
    ),
    Phrase("p", r"(?<=sshp)ass(?=[ \t])", r"[ \t]+-p[ \t]*['\"]?([^\s'\"]+)", "vendor sshpass(1)"),
    Phrase("p", r"assin(?=[ \t])", r"[ \t]+['\"]?pass:([^\s'\"]+)", "vendor openssl(1)"),
    Phrase("p", r"assout(?=[ \t])", r"[ \t]+['\"]?pass:([^\s'\"]+)", "vendor openssl(1)"),
    Phrase(
        "p",
        r"utty-user-key-file",
        r"(?s)-\d.{0,2000}?Private-Lines:[^\n]*\n((?:[A-Za-z0-9+/=]+\r?\n?){1,200})",
        "detect-secrets private_key",
    ),
    Phrase(
        "p",
        r"(?<=dap)i(?=[a-f0-9]{32})",
        r"([a-f0-9]{32}(?:-\d)?)(?![A-Za-z0-9])",
        "gitleaks databricks-api-token",
    ),
    Phrase(
        "k",
        r"(?<=dock)er(?=[ \t]+login)",
        r"[ \t]+login\b[^\n|;]{0,200}?[ \t]-p[ \t=]+['\"]?([^\s'\"]+)",
        "vendor docker-login(1)",
    ),
    Phrase(
        "q",
        r"(?<=mysq)l",
        r"\w*[^\n|;]{0,200}?[ \t]-p([^\s'\"-][^\s'\"]*)",
        "vendor mysql(1)",
    ),
    Phrase(
        "g",
        r"(?<=log)in(?=\s)",
        r"\s+(?:\S{1,200}\s+password\s+|(?:--?[\w-]+\s+)*(?=\w{32}))(\S+)",
        "vendor netrc(5), wandb login",
    ),
    Phrase(
        "b",
        r"(?<=identified b)y(?=[ \t])",
        r"[ \t]+(?:password[ \t]+)?'([^'\n]+)'",
        "vendor MySQL CREATE USER",
    ),
    Phrase(
        "u",
        r"(?<=[ \t'\"]-u)(?=[ \t='\"])",
        r"[ \t='\",]+((?!\d+:\d+\b)[^\s:'\"/]+:[^\s'\"]{2,})",
        "gitleaks curl-auth-user",
    ),
    Phrase(
        "u",
        r"(?<=-u)ser(?=[ \t='\"])",
        r"[ \t='\",]+((?!\d+:\d+\b)[^\s:'\"/]+:[^\s'\"]{2,})",
        "gitleaks curl-auth-user",
    ),
)
"""The commands and clauses in which provml finds secrets."""
