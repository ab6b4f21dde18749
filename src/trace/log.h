/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_LOG_H
#define _DAMON_RS_LOG_H

/* How long a message may be. */
#define DAMON_RS_DEBUG_LINE	256

/* Writes @text, which may end before its array does, as a debug message. */
void damon_rs_debug(const u8 text[DAMON_RS_DEBUG_LINE]);

#endif /* _DAMON_RS_LOG_H */
