/* A library for LD_PRELOAD: calls on files below a folder fail with EIO, as on a failing disk.

   FAILING_FOLDER  the folder
   FAILING_CALLS   the calls that fail, such as "|write|sync|"
   FAILING_SINCE   a file: the calls fail from the moment when it exists */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(const char *call, int fd) {
    const char *folder = getenv("FAILING_FOLDER"), *calls = getenv("FAILING_CALLS");
    const char *since = getenv("FAILING_SINCE");
    if (!folder || !calls || !since || !strstr(calls, call) || access(since, F_OK)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, folder, strlen(folder));
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define WRAP(name, type, parameters, arguments, fd, call) \
    type name parameters { \
        REAL(name); \
        if (fails(call, fd)) { errno = EIO; return -1; } \
        return real arguments; \
    }

WRAP(write, ssize_t, (int f, const void *b, size_t n), (f, b, n), f, "|write|")
WRAP(writev, ssize_t, (int f, const struct iovec *b, int n), (f, b, n), f, "|write|")
WRAP(pwrite64, ssize_t, (int f, const void *b, size_t n, off64_t o), (f, b, n, o), f, "|write|")
WRAP(read, ssize_t, (int f, void *b, size_t n), (f, b, n), f, "|read|")
WRAP(pread64, ssize_t, (int f, void *b, size_t n, off64_t o), (f, b, n, o), f, "|read|")
WRAP(fsync, int, (int f), (f), f, "|sync|")
WRAP(fdatasync, int, (int f), (f), f, "|sync|")
WRAP(ftruncate64, int, (int f, off64_t o), (f, o), f, "|truncate|")
WRAP(renameat, int, (int a, const char *b, int c, const char *d), (a, b, c, d), a, "|rename|")
WRAP(unlinkat, int, (int a, const char *b, int c), (a, b, c), a, "|unlink|")
WRAP(mkdirat, int, (int a, const char *b, mode_t m), (a, b, m), a, "|mkdir|")

int posix_fallocate64(int f, off64_t o, off64_t n) {
    REAL(posix_fallocate64);
    return fails("|allocate|", f) ? EIO : real(f, o, n);
}

static int open_file(int folder, const char *path, int flags, int mode) {
    static int (*real)(int, const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "openat64");
    if (fails(flags & O_CREAT ? "|create|" : "|open|", folder)) { errno = EIO; return -1; }
    return real(folder, path, flags, mode);
}

#define WRAP_OPEN(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        int mode = flags & O_CREAT ? va_arg(more, int) : 0; \
        va_end(more); \
        return open_file(folder, path, flags, mode); \
    }

WRAP_OPEN(openat)
WRAP_OPEN(openat64)

void *mmap64(void *place, size_t n, int protection, int flags, int f, off64_t o) {
    REAL(mmap64);
    if (f >= 0 && fails("|map|", f)) { errno = EIO; return MAP_FAILED; }
    return real(place, n, protection, flags, f, o);
}
