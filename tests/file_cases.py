"""Small commands of every kind, with the files that each of them uses and generates."""

from __future__ import annotations

import sys
from typing import NamedTuple

PYTHON = f"{sys.executable} -I"
"""A Python that does not load provml's hooks."""


class Case(NamedTuple):
    """A shell script, and the names of the files that it must be recorded to use and generate.

    Attributes:
        script: the script.
        used: the names of the files used. Their digests are those before the script.
        made: the names of the files generated. Their digests are those after the script.
        needs: the programs and Python packages without which the case can't run.
    """

    script: str
    used: tuple[str, ...] = ("in.csv",)
    made: tuple[str, ...] = ("out",)
    needs: tuple[str, ...] = ()


C_PROGRAMS = {
    "copy": """
#include <fcntl.h>
#include <unistd.h>
int main(int n, char **v) {
  char b[65536]; long k;
  int i = open(v[1], O_RDONLY), o = open(v[2], O_WRONLY|O_CREAT|O_TRUNC, 0644);
  while ((k = read(i, b, sizeof b)) > 0) if (write(o, b, k) != k) return 1;
  return 0; }
""",
    "map": """
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int n, char **v) {
  int o = open(v[1], O_RDWR|O_CREAT, 0644);
  if (ftruncate(o, 4096)) return 1;
  char *p = mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, o, 0); close(o);
  strcpy(p, "mapped"); return 0; }
""",
    "send": """
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>
int main(int n, char **v) {
  int i = open(v[1], O_RDONLY), o = creat(v[2], 0644);
  if (copy_file_range(i, 0, o, 0, 1 << 20, 0) <= 0) while (sendfile(o, i, 0, 1 << 20) > 0);
  return 0; }
""",
    "unnamed": """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int n, char **v) {
  char p[64]; int o = open(".", O_TMPFILE|O_RDWR, 0644);
  if (o < 0 || write(o, "x", 1) != 1) return 1;
  sprintf(p, "/proc/self/fd/%d", o);
  return linkat(AT_FDCWD, p, AT_FDCWD, v[1], AT_SYMLINK_FOLLOW); }
""",
    "threads": """
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
void *f(void *n) { char p[9]; sprintf(p, "t%ld", (long)n);
  int o = open(p, O_WRONLY|O_CREAT, 0644); if (write(o, p, 2) != 2) return n; close(o); return 0; }
int main(void) { pthread_t t[4]; for (long i = 0; i < 4; i++) pthread_create(t+i, 0, f, (void*)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0); return 0; }
""",
}
"""Programs to compile with ``gcc``, by name; see `CASES`."""

CASES: dict[str, Case] = {
    "redirect": Case("sort < in.csv > out"),
    "argument": Case("sort in.csv > out"),
    "copy": Case("cp in.csv out"),
    "move": Case("mv in.csv out"),
    "move of what was made": Case("sort in.csv > part; mv part out"),
    "sorted in place": Case("sort -o in.csv in.csv", made=("in.csv",)),
    "edited in place": Case("sed -i s/1/9/ in.csv", made=("in.csv",)),
    "truncated": Case("truncate -s 3 in.csv", made=("in.csv",)),
    "replaced": Case("tr 1 9 < in.csv > part; mv part in.csv", made=("in.csv",)),
    "emptied": Case("cat in.csv > part; cat part part > in.csv; rm part", made=("in.csv",)),
    "removed input": Case("cat in.csv > out; rm in.csv"),
    "removed output": Case("echo x > gone; cat in.csv > out; rm gone"),
    "tee": Case("tee out second < in.csv > /dev/null", made=("out", "second")),
    "append": Case("cat in.csv >> log", ("in.csv", "log"), ("log",)),
    "append to a new file": Case("cat in.csv >> out; cat in.csv >> out"),
    "opened and unchanged": Case(": >> in.csv; : <> log", ("in.csv", "log"), ()),
    "process substitution": Case("paste <(cut -d, -f1 in.csv) <(cut -d, -f2 in.csv) > out"),
    "here-document": Case("cat > out <<< text", ()),
    "named pipe": Case("mkfifo p; (cat in.csv > p &); cat p > out"),
    "symbolic link": Case("ln -s in.csv way; cat way > out; rm way", ("way",)),
    "hard link": Case("ln in.csv out"),
    "write through a link": Case("ln -s real out; cat in.csv > out", made=("out",)),
    "archive": Case("tar cf out in.csv log", ("in.csv", "log")),
    "extract": Case("tar xf in.tar", ("in.tar",), ("one", "two")),
    "compress": Case("gzip in.csv", made=("in.csv.gz",)),
    "split": Case("split -l 1 in.csv part", made=("partaa", "partab", "partac")),
    "awk": Case("awk -F, '{print > $2 \".txt\"}' in.csv", made=("a.txt", "b.txt")),
    "block copy": Case("dd if=in.csv of=log conv=notrunc status=none", ("in.csv", "log"), ("log",)),
    "parallel": Case("printf '1\\n2\\n' | xargs -P 2 -I% cp in.csv out%", made=("out1", "out2")),
    "folders": Case("mkdir d; cd d; cp ../in.csv a; mv a b; cat b > ../out", made=("d/b", "out")),
    "moved folder": Case("mv old new", ("old/x", "old/y"), ("new/x", "new/y")),
    "copied folder": Case("cp -r old new; rm -r old", ("old/x", "old/y"), ("new/x", "new/y")),
    "double fork": Case(
        "( (sort in.csv > part; mv part out) & ); until test -e out; do sleep 0.01; done"
    ),
    "exec": Case("exec sort -o out in.csv"),
    "missing": Case("cat absent; sort absent > out; true", ()),
    "scratch": Case("f=$(mktemp); sort in.csv > $f; cat $f > out; rm $f"),
    "copy that is renamed": Case("cp in.csv .out.x7; mv .out.x7 out"),
    "perl": Case("perl -i -pe s/1/9/ in.csv", made=("in.csv",), needs=("perl",)),
    "static program": Case("copy in.csv out", needs=("gcc",)),
    "memory map": Case("map out", (), needs=("gcc",)),
    "sent within the kernel": Case("send in.csv out", needs=("gcc",)),
    "file without a name": Case("unnamed out", (), needs=("gcc",)),
    "threads": Case("threads", (), ("t0", "t1", "t2", "t3"), needs=("gcc",)),
    "compiler": Case("gcc main.c -o out", ("main.c",), needs=("gcc",)),
    "version control": Case("git init -q; git add in.csv; git status > out", needs=("git",)),
    "os.open": Case(
        f"""{PYTHON} -c "
import os
fd = os.open('in.csv', os.O_RDONLY); folder = os.open('.', os.O_RDONLY)
made = os.open('out', os.O_WRONLY | os.O_CREAT, dir_fd=folder); os.write(made, os.read(fd, 99))
os.rename('out', 'out2', src_dir_fd=folder, dst_dir_fd=folder); os.close(made)
" """,
        made=("out2",),
    ),
    "numpy": Case(
        f"""{PYTHON} -c "
import numpy as np
table = np.memmap('in.map', dtype='u1', mode='r+'); table[0] = 7; table.flush()
np.save('out.npy', np.load('in.npy'))
" """,
        ("in.map", "in.npy"),
        ("in.map", "out.npy"),
        ("numpy",),
    ),
    "pandas": Case(
        f"""{PYTHON} -c "
import pandas as pd
pd.read_csv('in.csv').to_parquet('out')
" """,
        needs=("pandas", "pyarrow"),
    ),
    "sqlite": Case(
        f"""{PYTHON} -c "
import sqlite3
with sqlite3.connect('out') as db:
    db.execute('create table t (a)'); db.execute('insert into t values (1)')
print(sqlite3.connect('in.db').execute('select * from t').fetchall())
" """,
        ("in.db",),
    ),
    "duckdb": Case(
        f"""{PYTHON} -c "
import duckdb
duckdb.sql(\\"copy (select * from 'in.csv') to 'out.parquet' (format parquet)\\")
with duckdb.connect('made.db') as db:
    db.sql(\\"create table t as select * from 'in.csv'\\")
" """,
        made=("made.db", "out.parquet"),
        needs=("duckdb",),
    ),
    "arrow dataset": Case(
        f"""{PYTHON} -c "
import pyarrow.dataset as ds
table = ds.dataset('in.csv', format='csv').to_table()
ds.write_dataset(table, 'made', format='parquet')
" """,
        made=("made/part-0.parquet",),
        needs=("pyarrow",),
    ),
    "hdf5": Case(
        f"""{PYTHON} -c "
import h5py
with h5py.File('in.h5') as source, h5py.File('out', 'w') as sink: sink['a'] = source['a'][()]
" """,
        ("in.h5",),
        needs=("h5py",),
    ),
    "xgboost": Case(
        f"""{PYTHON} -c "
import numpy as np, xgboost as xgb
data = xgb.DMatrix('in.svm?format=libsvm')
xgb.train(dict(nthread=1), data, 2).save_model('out.json')
" """,
        ("in.svm",),
        ("out.json",),
        ("xgboost",),
    ),
    "lightgbm": Case(
        f"""{PYTHON} -c "
import lightgbm as lgb
data = lgb.Dataset('in.svm', params=dict(min_data=1, verbosity=-1))
lgb.train(dict(num_threads=1, min_data=1, verbosity=-1), data, 2).save_model('out.txt')
" """,
        ("in.svm",),
        ("out.txt",),
        ("lightgbm",),
    ),
}
