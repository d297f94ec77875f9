# ruff: noqa: E501 - the lines are as long as the programs print them
"""Logs of programs that are not trainings: what they print must not become a metric.

Each log is a list of templates, written after the output of the real program. `make_log` fills
them in: ``{i}`` counts up, ``{n}`` is a whole number, ``{f}`` a decimal, ``{p}`` a percentage,
``{t}`` a time of day, ``{d}`` a date, ``{x}`` a hexadecimal word, ``{w}`` a word, ``{ip}`` an
address and ``{v}`` a version.
"""

from __future__ import annotations

import random
import re

_FIELD = re.compile(r"\{(\w+)\}")
_WORDS = """
alpha loader model cache parser index worker proxy token layer train test data accuracy loss score
batch step epoch shard queue render socket schema filter
"""


def make_log(templates: str, lines: int, seed: int = 0) -> str:
    """Fill in templates, in order and again and again, until there are enough lines."""
    rng = random.Random(seed)
    words = _WORDS.split()
    every = templates.strip("\n").split("\n")

    def fill(match: re.Match[str]) -> str:
        kind = match[1]
        if kind == "i":
            return str(number)
        if kind == "n":
            return str(rng.randrange(10 ** rng.randrange(1, 6)))
        if kind == "f":
            return f"{rng.random() * 10 ** rng.randrange(3):.{rng.randrange(1, 4)}f}"
        if kind == "p":
            return f"{rng.randrange(101)}"
        if kind == "t":
            return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
        if kind == "d":
            return f"2026-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
        if kind == "x":
            return f"{rng.getrandbits(48):012x}"
        if kind == "ip":
            return ".".join(str(rng.randrange(256)) for _ in range(4))
        if kind == "v":
            return ".".join(str(rng.randrange(20)) for _ in range(3))
        return rng.choice(words)

    out = []
    for number in range(lines):
        text = _FIELD.sub(fill, every[number % len(every)])
        out.append(text.replace("{{", "{").replace("}}", "}"))
    return "\n".join(out) + "\n"


LOGS = {
    "pip": """
Collecting {w}=={v}
  Downloading {w}-{v}-cp311-cp311-manylinux_2_17_x86_64.whl ({f} MB)
     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ {f}/{f} MB {f} MB/s eta 0:00:{p}
Requirement already satisfied: {w}>={v} in ./lib/python3.11/site-packages (from {w}=={v}) ({v})
Installing collected packages: {w}, {w}, {w}
Successfully installed {w}-{v} {w}-{v}
""",
    "apt": """
Get:{i} http://deb.debian.org/debian bookworm/main amd64 {w}{n} amd64 {v}-1 [{f} kB]
Fetched {f} MB in {n}s ({f} MB/s)
Selecting previously unselected package lib{w}{n}:amd64.
(Reading database ... {n} files and directories currently installed.)
Preparing to unpack .../{w}_{v}-1_amd64.deb ...
Unpacking {w} ({v}-1) ...
Setting up {w} ({v}-1) ...
Progress: [{p}%]
""",
    "make": """
[ {p}%] Building CXX object src/CMakeFiles/{w}.dir/{w}{i}.cpp.o
[{i}/5000] Linking CXX static library lib/lib{w}.a
cc -O2 -c -o {w}{i}.o {w}{i}.c -DSTEP={n} -DLOSS={f}
src/{w}.c:{n}:{n}: warning: unused variable 'loss' [-Wunused-variable]
make[{n}]: Entering directory '/build/{w}'
  {n} |   float loss = {f};
      |         ^~~~
real	0m{f}s
""",
    "pytest": """
tests/test_{w}.py::test_{w}_{w}[{n}-{f}] PASSED [ {p}%]
tests/{w}/test_{w}.py ....s..x....                                       [ {p}%]
{f}s call     tests/test_{w}.py::test_loss[{f}]
E       assert {f} == {f} ± {f}
E        +  where {f} = accuracy({n}, {n})
tests/test_{w}.py:{n}: AssertionError
======================= {n} passed, {n} skipped in {f}s =======================
{w}/{w}.py      {n}      {n}    {p}%   {n}-{n}, {n}
TOTAL           {n}      {n}    {p}%
""",
    "npm": """
npm WARN deprecated {w}@{v}: please use {w}@{v}
added {n} packages, and audited {n} packages in {n}s
npm http fetch GET 200 https://registry.example.org/{w} {n}ms (cache hit)
{n} vulnerabilities ({n} moderate, {n} high)
webpack {v} compiled with {n} warnings in {n} ms
asset {w}.{x}.js {f} KiB [emitted] [minimized] (name: {w})
""",
    "git": """
remote: Counting objects: {p}% ({n}/{n})
Receiving objects: {p}% ({n}/{n}), {f} MiB | {f} MiB/s
Resolving deltas: {p}% ({n}/{n})
 {w}/{w}.py | {n} ++++++++-----
 {n} files changed, {n} insertions(+), {n} deletions(-)
{x} Improve accuracy of step {n} by {f}
   {x}..{x}  main -> origin/main
""",
    "wget": """
--{d} {t}--  https://example.org/{w}-{v}.tar.gz
HTTP request sent, awaiting response... 200 OK
Length: {n} ({f}M) [application/octet-stream]
  {n}K .......... .......... .......... .......... .......... {p}% {f}M {n}s
{d} {t} ({f} MB/s) - '{w}-{v}.tar.gz' saved [{n}/{n}]
""",
    "curl": """
  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
                                 Dload  Upload   Total   Spent    Left  Speed
 {p} {n}M   {p} {f}M    0     0  {n}k      0  0:00:{p} 0:00:{p}  0:00:{p} {n}k
time_total: {f} speed_download: {f} http_code: 200
""",
    "tqdm": """
Downloading {w}:  {p}%|██████    | {n}/{n} [00:{p}<00:{p}, {f}it/s]
Loading checkpoint shards: {p}%|███       | {n}/{n} [00:0{n}<00:01, {f}s/it]
Map (num_proc=4): {p}%|█████ | {n}/{n} [00:01<00:00, {f} examples/s]
{p}%|▌         | {f}M/{f}G [00:01<00:10, {f}MB/s]
Epoch {i}:  {p}%|███       | {n}/{n} [00:10<00:10, {f}it/s]
""",
    "docker": """
Step {i}/900 : RUN pip install {w}=={v}
 ---> Running in {x}
 ---> {x}
Removing intermediate container {x}
#{i} [{n}/{n}] RUN apt-get update
#{i} {f} Reading package lists...
#{i} DONE {f}s
{x}: Pull complete
{x}: Downloading [==========>        ]  {f}MB/{f}MB
CONTAINER ID   NAME   CPU %   MEM USAGE / LIMIT   MEM %   NET I/O   PIDS
{x}   {w}_1   {f}%   {f}MiB / {f}GiB   {f}%   {f}kB / {f}kB   {n}
""",
    "nginx": """
{ip} - - [{d}T{t} +0000] "GET /api/v1/loss?step={n}&value={f} HTTP/1.1" 200 {n} "-" "curl/{v}" {f} {f}
{ip} - - [{d}T{t} +0000] "POST /train HTTP/1.1" 201 {n} "-" "Mozilla/5.0" rt={f} uct="{f}" urt="{f}"
{d} {t} [error] {n}#{n}: *{n} upstream timed out (110: Connection timed out), client: {ip}
""",
    "uvicorn": """
INFO:     {ip}:{n} - "GET /metrics/accuracy HTTP/1.1" 200 OK
INFO:     Started server process [{n}]
{t} | INFO | request_id={x} method=GET path=/{w} status=200 duration={f}ms size={n}
{t} | WARNING | slow request: path=/train took {f} s, queue={n}
""",
    "syslog": """
Nov 30 {t} host systemd[{n}]: Started {w} service.
Nov 30 {t} host kernel: [{n}.{n}] usb {n}-{n}: new high-speed USB device number {n} using xhci_hcd
Nov 30 {t} host chronyd[{n}]: System clock wrong by {f} seconds
Nov 30 {t} host CRON[{n}]: (root) CMD (run-parts /etc/cron.hourly)
Nov 30 {t} host thermald[{n}]: temperature {f} C, fan {n} rpm
""",
    "dmesg": """
[    {i}.{n}] pci 0000:00:{p}.0: BAR 0: assigned [mem 0x{x}-0x{x}]
[    {i}.{n}] EXT4-fs (sda{n}): mounted filesystem with ordered data mode
[    {i}.{n}] CPU{n}: Core temperature above threshold, cpu clock throttled (total events = {n})
[    {i}.{n}] x{n} : {x} lr : {x} sp : {x}
[    {i}.{n}] clocksource: tsc: mask: 0x{x} max_cycles: 0x{x}, max_idle_ns: {n} ns
""",
    "rsync": """
{w}/{w}{i}.bin
        {n},{p}0  {p}%   {f}MB/s    0:00:{p} (xfr#{i}, to-chk={n}/{n})
sent {n} bytes  received {n} bytes  {f} bytes/sec
total size is {n}  speedup is {f}
""",
    "tar": """
-rw-r--r-- user/group {n} {d} {p}:{p} {w}/{w}{i}.py
drwxr-xr-x user/group 0 {d} {p}:{p} {w}/step_{i}/loss_{f}/
""",
    "cargo": """
   Compiling {w}-sys v{v}
warning: unused variable: `loss`
  --> src/{w}.rs:{n}:{n}
    Finished dev [unoptimized + debuginfo] target(s) in {f}s
test {w}::tests::test_{w} ... ok
test result: ok. {n} passed; 0 failed; 0 ignored; 0 measured; {n} filtered out; finished in {f}s
test bench_{w} ... bench:       {n} ns/iter (+/- {n})
""",
    "kubectl": """
NAME                     READY   STATUS    RESTARTS   AGE
{w}-{x}-{w}              {n}/{n}     Running   {n}          {n}d
NAME      CPU(cores)   MEMORY(bytes)
{w}-{x}   {n}m         {n}Mi
Warning  BackOff  {n}m (x{n} over {n}h)  kubelet  Back-off restarting failed container
""",
    "slurm": """
Submitted batch job {n}
             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)
            {n}       gpu    train     user  R    {n}:{p}     {n} node[{n}-{n}]
slurmstepd: error: *** STEP {n}.{n} ON node{n} CANCELLED AT {d}T{t} ***
{n}.batch      batch      user         {n}  COMPLETED      0:0 {n}K {t}
srun: job {n} queued and waiting for resources
""",
    "gradle": """
> Task :{w}:compileJava UP-TO-DATE
> Task :{w}:test
BUILD SUCCESSFUL in {n}s
{n} actionable tasks: {n} executed, {n} up-to-date
<====---------> {p}% EXECUTING [{n}s]
com.example.{w}Test > testAccuracy PASSED ({f}s)
""",
    "postgres": """
{d} {t}.123 UTC [{n}] LOG:  duration: {f} ms  statement: SELECT loss FROM runs WHERE step = {n}
 Seq Scan on {w}  (cost=0.00..{f} rows={n} width={n}) (actual time={f}..{f} rows={n} loops={n})
 Planning Time: {f} ms
 Execution Time: {f} ms
{d} {t} UTC [{n}] LOG:  checkpoint complete: wrote {n} buffers ({f}%); write={f} s, sync={f} s, total={f} s
{d} {t} UTC [{n}] LOG:  automatic vacuum of table "{w}": index scans: {n}, avg read rate: {f} MB/s, avg write rate: {f} MB/s
""",
    "mysql": """
# Query_time: {f}  Lock_time: {f} Rows_sent: {n}  Rows_examined: {n}
{d}T{t}.1Z {n} [Note] InnoDB: page_cleaner: 1000ms intended loop took {n}ms. flushed={n}
| {w} | {n} | {f} |
Buffer pool hit rate {n} / 1000, young-making rate {n} / 1000
{f} reads/s, {f} creates/s, {f} writes/s
""",
    "java": """
{d} {t},123 ERROR [main] com.example.{w}.Service - failed after {n} ms
java.lang.IllegalStateException: step {n} failed with code {n}
	at com.example.{w}.Trainer.step(Trainer.java:{n})
	at java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:{n})
	... {n} more
[{f}s][info][gc] GC({i}) Pause Young (Normal) (G1 Evacuation Pause) {n}M->{n}M({n}M) {f}ms
""",
    "ping": """
64 bytes from {ip}: icmp_seq={i} ttl={n} time={f} ms
{n} packets transmitted, {n} received, {f}% packet loss, time {n}ms
rtt min/avg/max/mdev = {f}/{f}/{f}/{f} ms
  {i}.|-- {ip}      {f}%    {n}   {f}   {f}   {f}  {f}   {f}
HOST: {w}            Loss%   Snt   Last   Avg  Best  Wrst StDev
""",
    "iperf": """
[  5]   {f}-{f}   sec  {f} GBytes  {f} Gbits/sec    {n}   {f} MBytes
[ {n}s ] thds: {n} tps: {f} qps: {f} (r/w/o: {f}/{f}/{f}) lat (ms,95%): {f} err/s: {f} reconn/s: {f}
Requests/sec:   {f}
    Latency     {f}ms    {f}ms  {f}ms   {f}%
Iteration   {i}: {f} ns/op
# Warmup Iteration   {i}: {f} ops/s
""",
    "ffmpeg": """
frame=  {i} fps= {p} q={f} size=     {n}kB time=00:00:{p}.00 bitrate= {f}kbits/s speed={f}x
  Stream #0:{n}: Video: h264 (High), yuv420p, 1920x1080, {f} fps, {f} tbr, 90k tbn
video:{n}kB audio:{n}kB subtitle:0kB other streams:0kB muxing overhead: {f}%
""",
    "vmstat": """
procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----
 r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st
 {n}  0      0 {n}  {n} {n}    0    0     {n}    {n}   {n}  {n}  {n}  {n} {n}  0  0
top - {t} up {n} days, {n}:{p},  {n} users,  load average: {f}, {f}, {f}
%Cpu(s): {f} us, {f} sy, {f} ni, {f} id, {f} wa, {f} hi, {f} si, {f} st
Device             tps    kB_read/s    kB_wrtn/s    kB_dscd/s    kB_read    kB_wrtn
sda              {f}       {f}       {f}       {f}    {n}    {n}
""",
    "json server": """
{{"level":"info","ts":{f},"caller":"{w}/{w}.go:{n}","msg":"request","latency":{f},"status":200}}
{{"time":"{d}T{t}","severity":"ERROR","step":"build","duration":{f},"attempt":{n}}}
time="{d}T{t}Z" level=info msg="reconcile" controller={w} duration={f} queue={n}
""",
    "downloads": """
Downloading shard {i} of 5000: {f} MB at {f} MB/s
worker {n}: loaded shard {i} of 5000 ({n} files), took {f} s
epoch_{i}.ckpt: {p}% [{n}/{n}]
copied step_{i}.bin ({f} GiB) in {f} s
batch {i}: {n} rows inserted in {f} s
Step {i} completed in {f} seconds
round {i}: {n} requests, {f} req/s
""",
    "terraform": """
{w}_instance.{w}[{n}]: Still creating... [{n}m{n}s elapsed]
{w}_instance.{w}[{n}]: Creation complete after {n}s [id=i-{x}]
Plan: {n} to add, {n} to change, {n} to destroy.
PLAY RECAP *********
{w}-{n} : ok={n} changed={n} unreachable=0 failed=0 skipped={n} rescued=0 ignored=0
TASK [{w} : install {w}] *******
""",
    "go": """
=== RUN   Test{w}/step_{n}
--- PASS: Test{w} ({f}s)
ok  	example.org/{w}/{w}	{f}s	coverage: {f}% of statements
Benchmark{w}-8   	 {n}	      {f} ns/op	     {n} B/op	       {n} allocs/op
goroutine {n} [running]:
main.(*{w}).step(0x{x}, {n})
	/src/{w}/{w}.go:{n} +0x{n}
""",
    "jest": """
  ✓ computes the loss ({n} ms)
  ✕ keeps accuracy above {f} ({n} ms)
Tests:       {n} failed, {n} passed, {n} total
Time:        {f} s, estimated {n} s
{w}.js      |   {f} |    {f} |     {f} |   {f} | {n}-{n}
""",
    "kafka": """
[{d} {t},123] INFO [Log partition={w}-{n}, dir=/data] Rolled new log segment at offset {n} in {n} ms. (kafka.log.Log)
[{d} {t},123] INFO [GroupCoordinator {n}]: Preparing to rebalance group {w} with old generation {n}
{n}:M 30 Nov 2026 {t}.123 * DB saved on disk
{n}:M 30 Nov 2026 {t}.123 * {n} changes in {n} seconds. Saving...
[{d}T{t}][INFO ][o.e.m.j.JvmGcMonitorService] [{w}] [gc][{i}] overhead, spent [{n}ms] collecting in the last [{f}s]
""",
    "spark": """
{d} {t} INFO TaskSetManager: Finished task {f} in stage {f} (TID {i}) in {n} ms on {w} ({n}/{n})
[Stage {n}:=====>                    ({n} + {n}) / {n}]
{d} {t} INFO BlockManagerInfo: Added broadcast_{n}_piece0 in memory on {w}:{n} (size: {f} KiB, free: {f} MiB)
{d} {t} INFO DAGScheduler: Job {n} finished: collect at {w}.py:{n}, took {f} s
""",
}
