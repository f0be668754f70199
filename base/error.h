/* SPDX-License-Identifier: MIT */
/*
 * The three kinds of error (docs/design.md, "Errors"): what the user did travels in a struct error
 * and is printed once by main; our own bugs stop at ASSERT; what the guest did is neither.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/types.h"

struct error {
    char text[1024]; /* one line without newline; empty: no error */
};

/*
 * Formats the message of a user error into err, keeping an earlier one if there is one.
 * Always returns false so that callers can `return error_set(...)`. err may be NULL.
 */
bool error_set(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "prefix: " before the message already in err. Always returns false. */
bool error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

_Noreturn void assert_failed(const char *file, int line, const char *what);

/* Always on: a failing ASSERT is a bug of Testudo, never of a guest. Exit status 70. */
#define ASSERT(x) (likely(x) ? (void)0 : assert_failed(__FILE__, __LINE__, #x))

#endif
