/* Keeps a journal of what a program writes into the database, its WAL and a file of acknowledgements, and of when it syncs
   them, so that a power cut can be played at any moment of the journal.
   cc -O2 -shared -fPIC -o journal.so journal.c -ldl; JOURNAL=file LD_PRELOAD=journal.so program */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITTEN, SYNC_BEGINS, SYNC_ENDED };

/* A record: this, then `length` bytes. One writev each: records of several processes stand one after the other. */
struct record { uint32_t kind, file; uint64_t place, length; };

static int journal = -1;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("JOURNAL");
    if (path) journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void append(uint32_t kind, int file, uint64_t place, const void *bytes, uint64_t length) {
    struct record record = {kind, file, place, length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)bytes, length}};
    if (syscall(SYS_writev, journal, parts, length ? 2 : 1) != (long)(sizeof record + length)) abort();
}

/* Which of the three files it is, or -1. */
static int file_of(int fd) {
    static const char *ends[] = {"app.db", "app.db-wal", "acknowledged"};
    char link[64] = "/proc/self/fd/", path[4096], digits[16];
    int n = 0, at = 14;
    if (journal < 0 || fd < 0) return -1;
    do { digits[n++] = '0' + fd % 10; fd /= 10; } while (fd);
    while (n) link[at++] = digits[--n];
    link[at] = 0;
    ssize_t length = readlink(link, path, sizeof path);
    for (int i = 0; i < 3; i++) {
        ssize_t end = strlen(ends[i]);
        if (length > end && path[length - end - 1] == '/' && !memcmp(path + length - end, ends[i], end)) return i;
    }
    return -1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    int file = file_of(fd);
    off_t place = file < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
    ssize_t written = real(fd, bytes, length);
    if (file >= 0 && written > 0) append(WRITTEN, file, place, bytes, written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t place) {
    REAL(pwrite);
    int file = file_of(fd);
    ssize_t written = real(fd, bytes, length, place);
    if (file >= 0 && written > 0) append(WRITTEN, file, place, bytes, written);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t place) {
    REAL(pwrite64);
    int file = file_of(fd);
    ssize_t written = real(fd, bytes, length, place);
    if (file >= 0 && written > 0) append(WRITTEN, file, place, bytes, written);
    return written;
}

/* What was written before it began is on disk when it has ended. */
static int sync_with(int (*real)(int), int fd) {
    static __thread uint64_t count;
    int file = file_of(fd);
    uint64_t ticket = (uint64_t)syscall(SYS_gettid) << 32 | ++count;
    if (file >= 0) append(SYNC_BEGINS, file, ticket, 0, 0);
    int failed = real(fd);
    if (file >= 0 && !failed) append(SYNC_ENDED, file, ticket, 0, 0);
    return failed;
}

int fsync(int fd) { REAL(fsync); return sync_with(real, fd); }
int fdatasync(int fd) { REAL(fdatasync); return sync_with(real, fd); }
