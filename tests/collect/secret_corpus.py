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
AZURE_OPENAI_API_KEY: <<~h32>>
azure_storage_connection_string="DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=<<~b86==>>"
Endpoint=sb://ml.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=<<~b43=>>
HostName=hub.azure-devices.net;DeviceId=d1;SharedAccessKey=<<~b43=>>
InstrumentationKey=<<~h8-~h4-~h4-~h4-~h12>>;IngestionEndpoint=https://x.in.applicationinsights.azure.com/
{"auths": {"https://index.docker.io/v1/": {"auth": "<<~B12>>"}}}
    token: <<ey^J~a30.ey^J~a80.~u86>>
    client-key-data: <<LS0tLS1CRUdJTi~b120==>>
[pypi]\nusername = __token__\npassword = <<py^pi-AgEIcHlwaS5vcmc~u70>>
machine github.com\nlogin octocat\npassword <<gh^p_~a36>>
machine ftp.example.org login ann password <<~l9>>
_auth=<<~B14>>
//npm.pkg.github.com/:_authToken=<<gh^p_~a36>>
email=a@b.c\n_password=<<~b16==>>
export AWS_SESSION_TOKEN="<<IQoJb3JpZ2luX2Vj~b120==>>"
$env:OPENAI_API_KEY = "<<~a32>>"
set DB_PASSWORD=<<~l9>>
setenv SLACK_TOKEN <<xo^xb-~d11-~d12-~a24>>
fish: set -x API_SECRET <<~a24>>
jdbc:mysql://db:3306/runs?user=ml&password=<<~l8~d2>>
jdbc:sqlserver://db;databaseName=ml;user=sa;password=<<~l6~d2!>>;
Data Source=db;Initial Catalog=ml;User Id=sa;Pwd=<<~l8~d2>>;
Driver={ODBC Driver 18 for SQL Server};Server=db;UID=sa;PWD=<<~l6~d3>>
snowflake://user:<<~l8~d2>>@account/db/schema?warehouse=wh
clickhouse://default:<<~l9>>@ch:9000/default
cockroachdb://ml:<<~l9>>@crdb:26257/defaultdb?sslmode=require
oracle+cx_oracle://scott:<<~l9>>@dbhost:1521/orcl
ftp://ann:<<~l9>>@ftp.example.org/data.csv
smtp://postmaster%40example.org:<<~l9>>@smtp.example.org:587
socks5h://proxyuser:<<~l9>>@proxy.example.org:1080
https_proxy=http://ann:<<~l9>>@proxy:3128
sentry_dsn = "https://<<~h32>>@o123.ingest.sentry.io/4501"
GET /v1/runs?api_key=<<~a24>>&limit=10 HTTP/1.1
https://api.example.org/v2?apikey=<<~h32>>
https://example.org/cb?code=x&client_secret=<<~a24>>&state=y
https://storage.example.org/o/x?X-Goog-Signature=<<~h64>>&X-Goog-Algorithm=GOOG4
https://outlook.office.com/webhook/<<~h8-~h4-~h4-~h4-~h12@~h8-~h4-~h4-~h4-~h12/IncomingWebhook/~h32>>/x
https://hooks.^slack.com/workflows/<<T~U8/A~U8/~d18/~a24>>
https://hooks.zapier.com/hooks/catch/<<~d7/~l7>>
x-api-key: <<~a40>>
X-Auth-Token: <<~a24>>
Private-Token: <<glp^at-~a20>>
Authorization: Digest username="ann", realm="r", nonce="~h16", response="<<~h32>>"
Authorization: AWS4-HMAC-SHA256 Credential=AK^IA~U16/20260101/eu/s3/aws4_request, Signature=<<~h64>>
Set-Cookie: <<session=~a32>>; Path=/; HttpOnly
Proxy-Authorization: Basic <<~B14>>
{"headers": {"Authorization": "Bearer <<~a40>>"}}
headers = {'X-API-KEY': '<<~a32>>', 'Accept': '*/*'}
Settings(db=DatabaseSettings(host='db', password='<<~l9>>', port=5432), debug=False)
Credentials(access_key='<<AK^IA~U16>>', secret_key='<<~b40>>', token=None)
SecretConfig(token=SecretStr('<<~a20>>'))
{'db': {'user': 'ml', 'pass': '<<~l9>>'}, 'lr': 0.1}
{"wandb": {"project": "x", "api_key": "<<~h40>>"}}
db.password=<<~l9>>
spring.datasource.password: <<~l9>>
[database]\nhost = "db"\npassword = "<<~l9>>"
auth:\n  username: ann\n  password: <<~l9>>
- name: DB_PASSWORD\n  value: <<~l9>>
apiVersion: v1\nkind: Secret\ndata:\n  password: <<~b16==>>
-----BEGIN EC ^PRIVATE KEY-----\n<<~b64\n~b64\n~b20==>>\n-----END EC ^PRIVATE KEY-----
-----BEGIN PGP ^PRIVATE KEY BLOCK-----\n\n<<~b64\n~b64\n=~b4>>\n-----END PGP ^PRIVATE KEY BLOCK-----
-----BEGIN ENCRYPTED ^PRIVATE KEY-----\n<<~b64\n~b64>>\n-----END ENCRYPTED ^PRIVATE KEY-----
mlflow_tracking_password=<<~l9>>
MLFLOW_TRACKING_TOKEN=<<~a32>>
neptune.init(api_token="<<ey^JhcGlfYWRkcmVzcyI6~a60==>>")
comet_ml.Experiment(api_key="<<~a25>>", project_name="x")
kaggle: {"username":"ann","key":"<<~h32>>"}
huggingface-cli login --token <<h^f_~a34>>
clearml: api.credentials.secret_key=<<~a42>>
aws ecr get-login-password | docker login -u AWS -p <<~a40>> 1.dkr.ecr.eu-west-1.amazonaws.com
curl --user ann:<<~l9>> https://x
curl -H "PRIVATE-TOKEN: <<~u20>>" https://gitlab.example.org
http -a ann:<<~l9>> example.org
redis-cli -a <<~l9>> ping
mongo -u ml -p <<~l9>> --authenticationDatabase admin
psql "host=db user=ml password=<<~l9>> dbname=runs"
ldapsearch -D cn=admin -w <<~l9>> -b dc=x
unzip -P <<~l9>> data.zip
7z x -p<<~l9>> data.7z
zip --password <<~l9>> data.zip d
ssh-keygen -t rsa -N <<~l9>> -f key
keytool -storepass <<~l9>> -list
rclone config create s3 s3 secret_access_key <<~b40>>
vault login <<hv^s.~u24>>
<<hv^s.CAES~u90>>
vercel token <<ve^rcel_blob_rw_~a16_~a30>>
<<EA^ACEdEose0cBA~a80>>
<<glr^t-~u20>>
<<gl^oas-~h64>>
<<s^k_live_51~a24>>
<<AG^E-SECRET-KEY-1~U58>>
<<PM^AK-~h24-~h34>>
<<xo^xe.xoxp-1-~a120>>
<<A3^T7~U16>>
<<s^k-lf-~h8-~h4-~h4-~h4-~h12>>
<<np^m_~a36>>
<<cio^~a32>>
<<ATC^TT3xFfGN0~u60>>
<<ey^JrIjoi~a60>>
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
Epoch 3/10 - loss: 0.2345 - auc: 0.91 - val_loss: 0.31
tokens_per_sec=51234.5 key_count=3
{"token": "hello", "pos": "NOUN", "lemma": "hello"}
{"tokens": ["the", "cat", "sat"], "ids": [1, 2, 3]}
tokenizer.add_special_tokens({'pad_token': '[PAD]'})
Loading tokenizer from gpt2-medium-v2-20240101
WARNING: key 'model.embed_tokens.weight' not found in checkpoint
missing keys: ['lm_head.weight', 'model.norm.bias']
Unexpected key(s) in state_dict: "module.conv1.weight"
state_dict key mismatch: encoder.layer.0.attention.self.query.weight
key_cache=torch.zeros(1, 8, 2048, 64)
past_key_values=None
query, key, value = qkv.chunk(3, dim=-1)
for key, val in sorted(d.items()):
d = {key: val for key, val in pairs}
cache = {"key": key, "hit": True}
KEY_UP = 38
key: up
key=lambda item: item[1]["loss"]
groupby(key="experiment_name_and_stage")
sort_values(by="key", ascending=False)
df.merge(other, on="key", how="left")
pd.read_sql("select key from runs")
primary key (run_id, step)
PRIMARY KEY (`id`)
foreign key references runs(id)
Press any key to continue
hotkey: ctrl+shift+p
ssh key fingerprint is SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDLnQHY2qXo0gDvXrA
md5: 9e107d9d372bb6826bd81d3542a419d6
sha1 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12  model.bin
digest=sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
run_id=01HZX3K8P2QF7M5N9R4T6V8W0Y
experiment id 8f14e45f-ceea-467f-a8f6-1c2d3e4f5a6b
W&B run id: 3k2j5h8q
trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7
job 4711.node-12.cluster finished
slurm-1234567_12.out
CUDA_VISIBLE_DEVICES=0,1,2,3
NCCL_IB_HCA=mlx5_0:1,mlx5_1:1
torch==2.3.1+cu121 --extra-index-url https://download.pytorch.org/whl/cu121
Downloading torch-2.3.1-cp311-cp311-manylinux1_x86_64.whl (779.1 MB)
Requirement already satisfied: nvidia-cublas-cu12==12.1.3.1 in /opt/conda
Successfully installed pip-24.0 setuptools-70.0.0
index 83db48f..bf269f4 100644
diff --git a/src/token.py b/src/token.py
@@ -12,7 +12,9 @@ def authenticate(self, user):
-    token = self.lexer.next_token()
+    password = prompt("Password")
     self.secret = secret
    self.key = key
    return self.token
    assert token is not None
    if password is None:
    raise ValueError("password is missing")
    def __init__(self, token: str, key: bytes | None = None) -> None:
    token = request.headers.get("Authorization")
    passwd = pwd.getpwnam(user)
    credentials = service_account.Credentials.from_service_account_file(path)
    auth = HTTPBasicAuth(user, password)
    api_key = os.getenv("API_KEY", "")
    secret = hashlib.sha256(data).hexdigest()
    auth_header = f"Bearer {token}"
    url = f"https://{user}:{token}@{host}/api"
    headers = {"Authorization": f"Bearer {api_key}"}
password: ${{ secrets.DB_PASSWORD }}
password: !vault |
password: "$(cat /run/secrets/db)"
env: DB_PASSWORD_FILE=/run/secrets/db_password
secretKeyRef: {name: db, key: password}
valueFrom: secretKeyRef
imagePullSecrets: [{name: regcred}]
token_endpoint: https://login.example.org/oauth2/token
jwks_uri=https://login.example.org/.well-known/jwks.json
auth_method = iam
auth: none
authority=https://login.microsoftonline.com
author=J. R. Token
cookie_consent=accepted
cookiecutter template: https://github.com/drivendata/cookiecutter-data-science
password strength: weak
Password changed successfully
your password expires in 12 days
Wrong password for user ann
Incorrect username or password
forgot password? click here
pass through the network twice
passed=12 failed=0 skipped=3
first pass: 0.31, second pass: 0.29
passphrase for key '/home/ann/.ssh/id_rsa':
pin 12 (GPIO18)
pin_memory_device: cuda:0
pat = re.compile(r"\d+")
pattern matched: loss=(\d+)
PATH=/usr/local/bin:/usr/bin:/bin
$ pwd
basic block: conv-bn-relu
Basic usage: provml run train.py
bearer: 3 of 5 ready
http://127.0.0.1:8888/lab
http://127.0.0.1:6006/?darkMode=true#scalars
https://huggingface.co/datasets/glue/resolve/main/data.parquet?download=true
https://github.com/pytorch/pytorch/blob/v2.3.1/torch/nn/functional.py#L1234
https://doi.org/10.1000/xyz123
https://user@example.org is not a web page
https://example.org/a/@b/c
s3://bucket/prefix/run=12/token=ab/part-0.parquet
gs://bucket/tfrecords/train-00001-of-01024
postgresql://localhost:5432/mlflow
redis://localhost:6379/0
docker run --rm -it -p 5000:5000 -v /data:/data image:tag
docker login registry.example.org
ps -u $USER -o pid,cmd
git config user.email ann@example.org
rsync -avz -e "ssh -p 2222" a b
mkdir -p /data/out
cp -p a b
python -m pip install -U pip
python train.py --resume-from-key best --max-tokens 512
accelerate launch --num_processes 8 --main_process_port 29500 train.py
deepspeed --include localhost:0,1 train.py -- --per_device_batch 8
--auth-mode none --token-limit 100
--key-file /etc/ssl/key.pem
loss_key='train/loss' metric_key='val/acc'
best_key: val_acc step: 1200
s_k_score=0.7
sk-learn pipeline: StandardScaler -> LogisticRegression
risk-adjusted-return: 0.12
task-12345678: done
disk-usage-2024: 81%
hf_dataset_name=glue hf_revision=main
gpt-4o-mini-2024-07-18
claude-3-5-sonnet-20241022
xai-explainability-report-2024-final.pdf
key-value-store-benchmark-results
npm_lifecycle_event=test
pypi-attestations 0.0.20
fw_version: 1.2.3
ops_per_second_20240101_run_000123
dop_v1 is a prefix
AKIRA_DATASET_PATH=/data/akira
ASIA_PACIFIC_REGION_1
ACCURACY_AT_TOP_FIVE
SKLEARN_SEED=1
AC_GENERATOR_POWER=3
eyJ is how a JWT begins
data:application/octet-stream;base64,AAAAAAAAAAAAAAAAAAAAAA==
AAAAB3NzaC1yc2EAAAADAQABAAABAQC
vocab: {"!": 0, "\"": 1, "key": 519, "token": 11241}
'password': 3, 'key': 17, 'token': 2
Counter({'the': 12, 'token': 3, 'secret': 1})
array(['token', 'key', 'secret'], dtype=object)
tensor([[0.1, 0.2]], grad_fn=<AddBackward0>)
<Token: 'NUMBER'>
Token.Keyword: def
Namespace(lr=0.1, tokenizer='bert-base-uncased', key_dim=64, use_auth=False)
OmegaConf: {model: {key_size: 64, token_dim: 128}}
config.key_size=64, config.auth=None
access_key_rotation_days=90
secret_count: 3
max_password_attempts=5
ssn=None
signature: (x: int, y: int) -> int
signature_version=4
signed: True
session_id: 12
sessions: 42
nonce=7
salt and pepper noise: p=0.1
hash=5381
license_key_required: no
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
