"""Texts with and without secrets, to measure how well provml tells them apart.

The true shapes contain no usable secret: `TRUE_SHAPES` fills their placeholders with random
characters when it is imported, so that no scanner finds a key in this file either. They come from
the vendors' documentation, the tests of gitleaks and detect-secrets, and scripts and logs of
machine-learning projects. The false shapes look similar and contain none.
"""

from __future__ import annotations

import base64
import random
import re

_ALPHABETS = {
    "a": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "l": "abcdefghijklmnopqrstuvwxyz",
    "U": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "h": "0123456789abcdef",
    "d": "0123456789",
    "u": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
    "b": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
}

# <<...>> is the secret; ~a20 stands for 20 random characters of the alphabet a; ^ is left out, and
# separates the parts of a prefix
_TRUE = r"""
<<gh^p_~a36>>
export GITHUB=<<gh^o_~a36>>
git clone https://<<gh^s_~a36>>@github.com/acme/models.git
pat = "<<github^_pat_~a22_~a59>>"
<<glp^at-~a20>>
hub login with <<h^f_~a34>>
model = load("llama", "<<h^f_~a34>>")
client = OpenAI("<<s^k-~a48>>")
<<s^k-proj-~u74>>
<<s^k-ant-api03-~u93AA>>
{"headers": {"x": "<<s^k-or-v1-~h64>>"}}
groq: <<gs^k_~a52>>
<<nv^api-~u64>>
<<r^8_~a37>>
aws: <<AK^IA~U16>>
aws: <<AS^IA~U16>>
AWS_SECRET_ACCESS_KEY=<<~b40>>
aws_secret_access_key = <<~b40>>
aws configure set aws_secret_access_key <<~b40>>
https://maps.example.org/api?key=<<AI^za~u35>>
const k = '<<AI^za~u35>>';
<<GO^CSPX-~u28>>
<<ya^29.~u60>>
<<1^//0~u50>>
https://hooks.^slack.com/<<services/T~U8/B~U8/~a24>>
<<xo^xb-~d12-~d12-~a24>>
<<xo^xp-~d12-~d12-~d12-~h32>>
<<xa^pp-1-A~U9-~d13-~h64>>
https://discord.com/api/webhooks/<<~d18/~u68>>
bot <<M~a23.~a5B.~u25Z9>> online
https://api.telegram.org/bot~d10:<<A~u34>>/getMe
stripe <<sk^_live_~a24>>
stripe <<rk^_live_~a24>>
<<wh^sec_~a32>>
<<S^G.~u22.~u43>>
twilio <<S^K~h32>>
//registry.npmjs.org/:_authToken=<<np^m_~a36>>
twine upload -u __token__ -p <<py^pi-AgEIcHlwaS5vcmc~u60>>
<<dckr^_pat_~a27>>
<<da^pi~h32>>
<<do^p_v1_~h64>>
<<shp^at_~h32>>
<<gl^sa_~a32_~h8>>
<<pn^u_~a36>>
<<lin^_api_~a40>>
<<AT^ATT3~u180>>
<<hv^s.~u90>>
<<~a14.^atlasv1.~u60>>
<<~h32-us12>>
<<ke^y-~h32>>
<<ey^J~a30.ey^J~a60.~u43>>
Authorization: Bearer <<~a40>>
curl -H "Authorization: token <<~h40>>" https://api.github.com
curl -H 'X-Api-Key: <<~l12>>' https://x.example.org
-H "Authorization: Basic <<~B20>>"
requests.get(url, headers={"Authorization": "<<~a24>>"})
Cookie: <<sessionid=~a32; csrftoken=~a32>>
curl -u alice:<<~l9>> https://x.example.org
wget --http-password=<<~l9>> https://x.example.org
https://alice:<<~l9>>@nexus.example.org/simple
postgresql://ml:<<~l4/~l4>>@db:5432/runs
mongodb+srv://ml:<<~l4~d3>>@cluster0.example.net/?retryWrites=true
redis://:<<~l10>>@cache:6379/0
amqp://guest:<<~l3@~l5>>@mq:5672//
mysql+pymysql://root:<<~l8>>@127.0.0.1/mlflow
Server=tcp:db,1433;User ID=ml;Password=<<~l6~d2!>>;Encrypt=True
DefaultEndpointsProtocol=https;AccountName=ml;AccountKey=<<~b86==>>;EndpointSuffix=core.windows.net
https://ml.blob.core.windows.net/data?sv=2022-11-02&sig=<<~a43%3D>>
https://s3.example.org/d?X-Amz-Credential=<<~a20>>&X-Amz-Signature=<<~h64>>
https://host/x?a=1&access_token=<<~a20>>&b=2
DB_PASS=<<~l9>>
PGPASSWORD=<<~l9>> psql -h db
MYSQL_PWD=<<~l9>> mysql -h db
export WANDB_API_KEY=<<~h40>>
ENV HF_TOKEN <<h^f_~a34>>
Config(lr=0.1, api_key='<<~l6-~l2>>', epochs=3)
Namespace(batch=32, password='<<~l6 ~l5 ~l7>>', seed=1)
{"user": "ml", "password": "<<~l5 ~l6 ~l5>>"}
"{\"user\": \"ml\", \"secret\": \"<<~l9>>\"}"
{'token': '<<~l6-~l2>>', 'lr': 0.1}
{"name": "DB_PASSWORD", "passphrase": b'<<~l12>>'}
passwords=['<<~l7', '~l8>>'], users=2
Login(user='ml', passwd=SecretBox('<<~l9>>'))
python train.py --password <<~l9>> --lr 0.1
python train.py --api-key <<~a20>> --epochs 3
gpg --batch --passphrase <<~l9>> -d model.gpg
sshpass -p <<~l9>> ssh host
mysql -h db -u ml -p<<~l9>> runs
openssl enc -d -aes256 -passin pass:<<~l9>> -in w.enc
machine api.wandb.ai login user password <<~h40>>
CREATE USER ml IDENTIFIED BY '<<~l9>>'
  password: <<~l7~d3>>
  api_key: "<<~a24>>"
client_secret = <<~a32>>
openai_key = "<<~l6-~l4>>"
my_token: '<<~l6-~l4>>'
pin=<<~d6>>
os.environ["SMTP_PASS"] = "<<~l9>>"
<db_password><<~l9>></db_password>
+    private_key = "<<~a44=>>"
-----BEGIN RSA ^PRIVATE KEY-----\n<<~b64\n~b64\n~b20==>>\n-----END RSA ^PRIVATE KEY-----
-----BEGIN OPENSSH ^PRIVATE KEY-----\\n<<~b64\\n~b64\\n~b20==>>\\n-----END OPENSSH ^PRIVATE KEY-----
"""

FALSE_SHAPES = r"""
learning_rate=0.1
max_tokens=512
tokens: 51200
tokens=1.2M
12 tokens/s, 3.4 s per epoch
num_tokens: 131072
pad_token='<pad>'
eos_token: "</s>"
bos_token_id=1
pad_token_id = tokenizer.eos_token_id
tokenizer.pad_token = tokenizer.eos_token
image_token="<image>"
mask_token = "[MASK]"
sep_token='[SEP]'
{"cls_token": "[CLS]", "unk_token": "[UNK]"}
special_tokens={'additional_special_tokens': ['<a>', '<b>']}
decoder_start_token_id: 2
token_type_ids=[0, 0, 1]
token: 17
Token(text='the', pos=DET)
next_token_loss=2.345
Token indices sequence length is longer than 512
per_token_accuracy: 0.913
keyboard=qwerty
monkey=1
keypoints: 17
num_keys=12
sort key=lambda x: x[1]
sorted(runs, key=len)
max(d, key=d.get)
primary_key="run_id"
foreign_key = 'experiment_id'
key="val_loss"
monitor_key='val/loss'
image_key="pixel_values"
label_key=labels
cache_key: "train-v2"
partition_key = "date"
key_padding_mask=None
key, value = line.split("=")
for key in keys: print(key)
dict_keys(['loss', 'accuracy'])
KeyError: 'learning_rate'
rng_key = jax.random.PRNGKey(0)
public_key = "ssh-rsa"
s3_key="data/train/part-0001.parquet"
hot_key: ctrl
query_key_value.weight
attention.key.weight: torch.Size([768, 768])
num_key_value_heads=8
author: Jane Doe
authors=["A. Author", "B. Author"]
author_email: jane@example.org
authentication required
auth_type=basic
auth_url="https://login.example.org/oauth"
use_auth_token=True
use_auth_token=False
oauth_scopes: repo
passed: 12, failed: 0
passes=3
pass_rate=0.97
pass@1: 0.67
forward_pass: 12 ms
backward_pass=0.031
bypass=True
compass=north
passenger_class: 3
passthrough = True
num_pass=2
password=None
password: str
password: Optional[str] = None
password = getpass.getpass()
password = getpass("Password: ")
password=os.environ["DB_PASSWORD"]
password = os.getenv("DB_PASSWORD")
password=args.password
password=config['db']['password']
password=${DB_PASSWORD}
password: "{{ vault_password }}"
password=$DB_PASSWORD
password=<your-password>
password=***
password=
PASSWORD=%DB_PASSWORD%
password_length=16
password_policy: strict
password_file=/run/db
has_password=True
Password: must be at least 12 characters
password: the password of the database user
Enter your password:
password field is required
secret_name=db-login
secret: Optional[bytes]
secret_santa=true
secretary=Jane
secrets: inherit
The secret of good training is clean data
credential_type=service
credentials=None
cookie_policy=strict
cookies: accepted
api_key=None
api_key: str = None
api_key=os.environ.get("OPENAI_API_KEY")
api_key = settings.API_KEY
api_key=self.api_key
api_key: ${{ secrets.OPENAI_API_KEY }}
client = Client(api_key=api_key)
connect(user=user, password=password)
login(token=hf_token)
def login(user, password): ...
if token == "<pad>":
if key == "ArrowUp":
while token != tokenizer.eos_token:
token = next(tokens)
token = tokens[i]
token=token,
tokens = [t for t in text.split()]
tokens: List[str]
signature=(x, y)
pin_memory=True
pin=13
pinned: false
gpio_pin=4
opinion: good
pattern="*.csv"
patience=5
path=/data/train.csv
patch_size=16
sigmoid=True
sig=0.05
design=factorial
option=1
optimizer: AdamW(lr=0.001, betas=(0.9, 0.999))
otp=None
pwd=/home/ann/work
PWD=/home/ann/work
pw=3
Bearer of good news
bearer certificates
basic statistics: mean=3, std=1
Basic training finished
BASIC authentication is disabled
https://example.org:8080/path
http://localhost:5000/#/experiments/1
https://host:8080/x@y
https://cdn.jsdelivr.net/npm/d3@7
https://medium.com/@someone/post-123
https://www.npmjs.com/package/@scope/name
s3://bucket/key/with@sign.csv
ssh://git@github.com/acme/models.git
git@github.com:acme/models.git
https://git@github.com/acme/models.git
abfss://container@account.dfs.core.windows.net/data
wasbs://data@account.blob.core.windows.net/train
hdfs://user@namenode:8020/data
https://org@dev.azure.com/org/project/_git/repo
https://{user}:{password}@host/db
postgresql://${USER}:${PASSWORD}@db/runs
mailto:ann@example.org
ann@example.org: 3 runs
file:///data/a@b:c/x.csv
/data/a:b@c/train.csv
https://host/search?q=a:b@c
https://host/login?next=/home
https://host/x?page=2&sort=key
d41d8cd98f00b204e9800998ecf8427e
da39a3ee5e6b4b0d3255bfef95601890afd80709
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
image: pytorch/pytorch@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
550e8400-e29b-41d4-a716-446655440000
run 20261130T100852-abcdefgh finished
etag="33a64df551425fcc55e4d42a148795d9f25f89d4"
integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC"
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk
fe80::1ff:fe23:4567:890a
00:1B:44:11:3A:B7
2026-11-30T10:08:52.123456789Z
ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ann@host
-----BEGIN CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
MKTAYIAKQRQISFVKSHFSRQLEERLGLVERFAVRLEVKLFKEAAGWGQ
ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT
sk-learn-contrib-imbalanced-learn
sklearn.ensemble.RandomForestClassifier
npm_config_registry=https://registry.npmjs.org
hf_model_name_or_path: bert-base-uncased
gpt2-medium-finetuned-wikitext103-v1
torch.nn.modules.transformer.TransformerEncoderLayer
model.layers.11.self_attn.k_proj.weight
val/accuracy_top5_ema_0.9999
train_loss_step_000123456789
docker run -u 1000:1000 image
docker run -p 8080:80 image
ps -u ann
python -u train.py --lr 0.1
sort -u a:b
python train.py --key-size 64 --num-tokens 100
python train.py --token-file /run/token
python train.py --pass-through --tokenizer gpt2
use --password to set it
the --token option is deprecated
login to the server with ssh
login shell started at 10:08
mysql -h db -e "select 1"
basic_auth=False
access: granted
accessed 12 files
access_mode=r
license: Apache-2.0
session=3
session_length: 60
cred_score=0.7
incredible=1
accredited: yes
discretization=uniform
created: 1732960132123456789
increase: 12%
jwt: disabled
hash_key=False
keyword=foo
turkey: 12
whiskey_id=7
hotkeys: on
keyframe=12
basename=model.pt
""".strip("\n").split("\n")  # fmt: skip


def _fill(match: re.Match[str], generator: random.Random) -> str:
    kind, length = match[1], int(match[2])
    if kind == "B":  # a user and a password in base64, as HTTP sends them
        login = "ann:" + "".join(generator.choices(_ALPHABETS["l"], k=length))
        return base64.b64encode(login.encode()).decode()
    text = "".join(generator.choices(_ALPHABETS[kind], k=length))
    return text if kind in "lUd" or length < 8 else text[:-2] + "7" + text[-1]


def _build_true_shapes() -> list[tuple[str, tuple[str, ...]]]:
    """Return texts, each with the secrets in it."""
    generator = random.Random(20)
    found = []
    for line in _TRUE.strip("\n").split("\n"):
        plain = line.replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")
        text = re.sub(r"~([aluhdUbB])(\d+)", lambda m: _fill(m, generator), plain.replace("^", ""))
        secrets = tuple(re.findall(r"(?s)<<(.*?)>>", text))
        found.append((text.replace("<<", "").replace(">>", ""), secrets))
    return found


TRUE_SHAPES = _build_true_shapes()
