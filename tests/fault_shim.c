/* Loaded before libc into every process of a command under test (LD_PRELOAD).

   The wall clock is shifted by the seconds that stand in the file $LAMPS_FAULT_CLOCK, which may change at any time.
   Each file that is flushed to disk is noted in $LAMPS_FAULT_SYNCS: inode, size and time of change as they were just
   before. What changed since is what a power cut may take. No state but the mapped file: processes fork and die. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map_the_clock(void) {
    const char *path = getenv("LAMPS_FAULT_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) shift = found;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int code = (int)syscall(SYS_clock_gettime, id, now);
    if (code == 0 && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift;
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int code = (int)syscall(SYS_gettimeofday, now, zone);
    if (code == 0 && shift) now->tv_sec += *shift;
    return code;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}

static int flushed(long call, int file) {
    struct stat before;
    int known = fstat(file, &before) == 0 && S_ISREG(before.st_mode);
    int code = (int)syscall(call, file);
    const char *path = known && code == 0 ? getenv("LAMPS_FAULT_SYNCS") : NULL;
    int notes = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (notes >= 0) {
        char line[128];
        int length = snprintf(line, sizeof line, "%ju %jd %jd %ld\n", (uintmax_t)before.st_ino,
                              (intmax_t)before.st_size, (intmax_t)before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
        if (write(notes, line, (size_t)length) != length) abort();
        close(notes);
    }
    return code;
}

int fsync(int file) { return flushed(SYS_fsync, file); }

int fdatasync(int file) { return flushed(SYS_fdatasync, file); }
