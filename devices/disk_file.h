/* SPDX-License-Identifier: MIT */
/* The host's files behind a disk (devices/disk.c and disk_overlay.c). */
#ifndef DEVICES_DISK_FILE_H
#define DEVICES_DISK_FILE_H

#include "base/error.h"
#include "base/types.h"

enum disk_file_mode { DISK_FILE_READ, DISK_FILE_WRITE, DISK_FILE_CREATE };

/*
 * Opens and locks a regular file or block device; CREATE: to write, and made, empty, if absent.
 * Returns the descriptor and its size in bytes, or -1 and err.
 */
int disk_file_open(const char *path, enum disk_file_mode mode, u64 *size, struct error *err);

/* All of it or false, with errno set; a read past the end of the file fails. */
bool disk_file_read(int fd, u64 offset, void *to, size_t size);
bool disk_file_write(int fd, u64 offset, const void *from, size_t size);

/* Gives the range's room back to the host where it can; it then reads as zeros. */
void disk_file_punch(int fd, u64 offset, u64 size);

#endif
