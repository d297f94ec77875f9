"""Tables of the formats of secrets. Imports no other part of provml.

provml compiles the regular expressions in these tables when it first masks a text, not at import.

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
    TokenFormat("xai-", "[A-Za-z0-9]{40,}", "vendor xAI"),
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
    TokenFormat("CCIPRJ_", r"\w{20,}", "vendor CircleCI"),
    TokenFormat("shpua_", _HEX32, "vendor Shopify"),
    TokenFormat("dp.st.", r"[\w.]{30,}", "vendor Doppler"),
    TokenFormat("dp.ct.", "[A-Za-z0-9]{30,}", "vendor Doppler"),
    TokenFormat("dp.sa.", "[A-Za-z0-9]{30,}", "vendor Doppler"),
    TokenFormat("dp.scim.", "[A-Za-z0-9]{30,}", "vendor Doppler"),
    TokenFormat("dp.audit.", "[A-Za-z0-9]{30,}", "vendor Doppler"),
    TokenFormat("sqp_", "[a-f0-9]{40}", "gitleaks sonar-api-token"),
    TokenFormat("squ_", "[a-f0-9]{40}", "gitleaks sonar-api-token"),
    TokenFormat("sqa_", "[a-f0-9]{40}", "gitleaks sonar-api-token"),
    TokenFormat("dnkey-", r"[\w=-]{26}-[\w=-]{40,}", "gitleaks defined-networking-api-token"),
    TokenFormat("FLWSECK-", r"[a-f0-9]{32}", "vendor Flutterwave"),
    TokenFormat("access-sandbox-", "[a-f0-9-]{36}", "gitleaks plaid-api-token"),
    TokenFormat("access-development-", "[a-f0-9-]{36}", "gitleaks plaid-api-token"),
    TokenFormat("access-production-", "[a-f0-9-]{36}", "gitleaks plaid-api-token"),
    TokenFormat("pat.", r"[\w-]{20,}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}", "gitleaks harness-api-key"),
    TokenFormat("sat.", r"[\w-]{20,}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}", "gitleaks harness-api-key"),
    TokenFormat("t1.", r"[\w-]{10,}={0,2}\.[\w-]{86}={0,2}", "gitleaks yandex-access-token"),
    TokenFormat("sl.", r"[\w=-]{100,}", "gitleaks dropbox-short-lived-api-token"),
    TokenFormat("sk_", "[a-f0-9]{48}", "vendor ElevenLabs"),
    TokenFormat("jina_", "[A-Za-z0-9_-]{40,}", "vendor Jina AI"),
    TokenFormat("tgp_v1_", r"[\w-]{30,}", "vendor Together AI"),
    TokenFormat("rpa_", "[A-Z0-9]{40,}", "vendor RunPod"),
    TokenFormat("sb_secret_", r"[\w-]{20,}", "vendor Supabase"),
    TokenFormat("napi_", "[a-z0-9]{40,}", "vendor Neon"),
    TokenFormat("phx_", "[A-Za-z0-9]{30,}", "vendor PostHog"),
    TokenFormat("rnd_", "[A-Za-z0-9]{28,}", "vendor Render"),
    TokenFormat("re_", "[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", "vendor Resend"),
    TokenFormat("mdb_sa_sk_", r"[\w-]{30,}", "vendor MongoDB Atlas"),
    TokenFormat("vercel_blob_rw_", r"[A-Za-z0-9]{16}_[A-Za-z0-9]{20,}", "vendor Vercel"),
    TokenFormat("CFPAT-", r"[\w-]{40,}", "vendor Contentful"),
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
    *(
        TokenPattern(
            rf"{prefix}(?<![A-Za-z0-9]{prefix})[A-Z0-9]{{16}}(?![A-Za-z0-9])",
            0,
            "gitleaks aws-access-token",
        )
        for prefix in ("AKIA", "ASIA", "ABIA", "ACCA", "A3T[A-Z0-9]")
    ),
    TokenPattern(r"AIza(?<![A-Za-z0-9]AIza)[\w-]{30,}", 0, "gitleaks gcp-api-key"),
    TokenPattern(r"ABSK(?<![A-Za-z0-9]ABSK)[A-Za-z0-9+/]{60,}={0,2}", 0, "gitleaks aws-bedrock"),
    TokenPattern(r"ATATT3[\w=-]{40,}", 0, "gitleaks atlassian-api-token"),
    TokenPattern(r"ATCTT3[\w=-]{40,}", 0, "gitleaks atlassian-api-token"),
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
        r"/(?=[swt])(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/+-]{8,}",
        0,
        "gitleaks slack-webhook-url",
    ),
    TokenPattern(
        r"/(?=[0-9a-f]{8}-)(?<=/webhook/)[\w@/-]{30,}", 0, "vendor Microsoft Office 365 webhook"
    ),
    TokenPattern(r"/(?=\d)(?<=/hooks/catch/)\d+/[\w/]{4,}", 0, "vendor Zapier webhook"),
    TokenPattern(r"/(?<=y/)(?<=/with/key/)[\w-]{16,}", 0, "vendor IFTTT webhook"),
    TokenPattern(r"~(?<=sha256~)[\w-]{40,}", 6, "gitleaks openshift-user-token"),
    TokenPattern(
        r"\.(?=[a-f0-9]{60})(?<=pat[A-Za-z0-9]{14}\.)[a-f0-9]{60,}", 17, "gitleaks airtable-pat"
    ),
    TokenPattern(r"_mmk(?<=\w{36}_mmk)(?!\w)", 36, "gitleaks maxmind-license-key"),
    TokenPattern(r"J(?<=eyJ)rIjoi[A-Za-z0-9]{50,}={0,3}", 2, "gitleaks grafana-api-key"),
    TokenPattern(r"/(?=\d)(?<=/api/webhooks/)\d+/[\w-]{10,}", 0, "vendor Discord webhook"),
    TokenPattern(r"/(?<=2/)(?<=/webhookb2/)[\w@/-]{20,}", 0, "gitleaks microsoft-teams-webhook"),
    TokenPattern(r"Q~(?<=\dQ~)[\w~.-]{30,}", 4, "gitleaks azure-ad-client-secret"),
    TokenPattern(
        r"\.atlasv1\.(?<=[A-Za-z0-9]{14}\.atlasv1\.)[\w=-]{40,}",
        14,
        "gitleaks hashicorp-tf-api-token",
    ),
    TokenPattern(
        r"\.(?=[\w-]{6}\.)(?<=[\w-]{24}\.)(?=\w*\d)[\w-]{6}\.(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{27,}(?![\w(.])",
        0,
        "detect-secrets discord",
    ),
    TokenPattern(r"-us(?<=[a-f0-9]{32}-us)\d{1,2}(?!\w)", 32, "detect-secrets mailchimp"),
)


class Phrase(NamedTuple):
    """A command or clause in which a secret follows a keyword.

    Attributes:
        first: a rare character of the keyword. provml searches a text for this character first.
        word: a regular expression for the part of the keyword after `first`, in lower case.
        rest: a regular expression for the text after the keyword, in ASCII bytes. Its group 1 is
            the secret.
        source: where the syntax of the phrase is documented.
    """

    first: str
    word: str
    rest: str
    source: str


VARIABLE: Final = (
    r"[ \t]+(?i:\w*(?:pass(?:word|wd)?|pwd|secret|token|(?:api|access|secret|private)_?key"
    r"|credentials?))[ \t]+['\"]?(?P<variable>[^\s'\"]+)"
)
"""A regular expression for a variable whose name suggests a secret, and the variable's value."""

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
    Phrase("p", r"assin(?=[ \t])", r"[ \t]+['\"]?pass:([^\s'\"]+)", "vendor openssl(1)"),
    Phrase("p", r"assout(?=[ \t])", r"[ \t]+['\"]?pass:([^\s'\"]+)", "vendor openssl(1)"),
    Phrase(
        "p",
        r"utty-user-key-file",
        r"-\d(?:[^Pp]|P(?!rivate-L)|p(?!utty-user-)){0,2000}+Private-Lines:[^\n]*\n"
        r"((?:[A-Za-z0-9+/=]+\r?\n?){1,200})",
        "detect-secrets private_key",
    ),
    Phrase(
        "p",
        r"i(?<=dapi)(?=[a-f0-9]{32})",
        r"([a-f0-9]{32}(?:-\d)?)(?![A-Za-z0-9])",
        "gitleaks databricks-api-token",
    ),
    Phrase(
        "g",
        r"in(?<=login)(?=\s)",
        r"\s+(?:\S{1,200}\s+password\s+|(?:--?[\w-]+\s+)*(?=\w{32}))(\S+)",
        "vendor netrc(5), wandb login",
    ),
    Phrase(
        "b",
        r"y(?<=identified by)(?=[ \t])",
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
        r"ser(?<=-user)(?=[ \t='\"])",
        r"[ \t='\",]+((?!\d+:\d+\b)[^\s:'\"/]+:[^\s'\"]{2,})",
        "gitleaks curl-auth-user",
    ),
    Phrase(
        "c",
        r"io(?<![a-z0-9]cio)(?=[a-z0-9]{32})",
        r"(?=[A-Za-z]*\d)([A-Za-z0-9]{32})(?![A-Za-z0-9])",
        "vendor crates.io",
    ),
    Phrase("v", r"(?<=env)(?=[ \t])", VARIABLE, "vendor csh(1), Dockerfile ENV"),
)
"""The commands and clauses in which provml finds secrets."""

PASSWORD_OPTIONS: Final = {
    "-p": ("sshpass", "login", "mongo", "mongosh", "mongodump", "mongorestore"),
    "-a": ("redis-cli",),
    "-w": ("ldapsearch", "ldapadd", "ldapmodify"),
    "-P": ("zip", "unzip", "sqlcmd", "bcp", "ssh-keygen"),
    "-N": ("ssh-keygen",),
}
"""The short options that are followed by a password, and the programs that have them."""

JOINED_OPTIONS: Final = {
    "-p": ("mysql", "mysqldump", "mysqladmin", "mariadb", "7z", "7za", "sshpass"),
    "-P": ("zip", "unzip", "sqlcmd"),
}
"""The short options that are joined to a password, as in ``-psesame``, and the programs that have
them."""

LOGIN_OPTIONS: Final = {"-a": ("http", "https"), "-U": ("smbclient",)}
"""The short options that are followed by a user name and a password, and the programs that have
them."""

SHORT_OPTIONS: Final = frozenset((*PASSWORD_OPTIONS, *JOINED_OPTIONS, *LOGIN_OPTIONS))
