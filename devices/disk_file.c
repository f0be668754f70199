/* SPDX-License-Identifier: MIT */
#include "devices/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lock belongs to the open file, so two disks of one process exclude each other too. */
static bool lock(int fd, bool shared, const char *path, struct error *err)
{
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return error_set(err, "%s: in use by another machine%s", path,
                         shared ? ", which writes to it" : "");
    /* Some file systems have no locks. */
    return errno == ENOLCK || errno == EOPNOTSUPP ||
           error_set(err, "%s: %s", path, strerror(errno));
}

static bool get_size(int fd, const char *path, u64 *size, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_set(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, "%s: neither a file nor a block device", path);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        return error_set(err, "%s: %s", path, strerror(errno));
    *size = (u64)end;
    return true;
}

int disk_file_open(const char *path, enum disk_file_mode mode, u64 *size, struct error *err)
{
    static const int flags[] = {
        [DISK_FILE_READ] = O_RDONLY,
        [DISK_FILE_WRITE] = O_RDWR,
        [DISK_FILE_CREATE] = O_RDWR | O_CREAT,
    };
    /* O_NONBLOCK: a pipe is an error, nothing to wait for. */
    int fd = open(path, flags[mode] | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0) {
        error_set(err, "%s: %s", path, strerror(errno));
        return -1;
    }
    /* Locked first: whoever makes the file writes it while locked. */
    if (lock(fd, mode == DISK_FILE_READ, path, err) && get_size(fd, path, size, err))
        return fd;
    close(fd);
    return -1;
}

bool disk_file_read(int fd, u64 offset, void *to, size_t size)
{
    while (size) {
        ssize_t n = pread(fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        to = (u8 *)to + n;
        offset += (u64)n;
        size -= (size_t)n;
    }
    return true;
}

bool disk_file_write(int fd, u64 offset, const void *from, size_t size)
{
    while (size) {
        ssize_t n = pwrite(fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        from = (const u8 *)from + n;
        offset += (u64)n;
        size -= (size_t)n;
    }
    return true;
}

void disk_file_punch(int fd, u64 offset, u64 size)
{
    int ignored =
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
    (void)ignored;
}
