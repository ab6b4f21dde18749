/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_LOG_H
#define _DAMON_RS_LOG_H

/* Maximum length of a message in bytes, without a newline. */
#define DAMON_RS_DEBUG_LINE	256

/**
 * damon_rs_debug() - Write a debug message that dynamic debug can enable
 * @text: The message.  It ends at the first NUL byte or at the end of the array.
 *
 * May be called in any context.
 */
void damon_rs_debug(const u8 text[DAMON_RS_DEBUG_LINE]);

#endif /* _DAMON_RS_LOG_H */
