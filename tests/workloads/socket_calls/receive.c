// Every form of receiving.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "forms.h"

static char buffer_of(const struct worker *worker, size_t at)
{
    return worker->plan->stream[!worker->state.side][at];
}

static void compare(struct worker *worker, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != buffer_of(worker, worker->state.consumed + i)) fail(worker, "the bytes are not those sent");
}

static ssize_t by_splice(struct worker *worker, char *bytes, size_t count)
{
    int ends[2];
    if (pipe(ends)) fail(worker, "pipe");
    ssize_t moved = splice(worker->fd, NULL, ends[1], NULL, count, 0);
    int error = errno;
    for (ssize_t at = 0; at < moved;) {
        ssize_t now = read(ends[0], bytes + at, moved - at);
        if (now <= 0) fail(worker, "reading the pipe");
        at += now;
    }
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return moved;
}

static ssize_t by_recvmmsg(int fd, struct iovec *parts)
{
    struct mmsghdr messages[2] = {0};
    int used = 0;
    for (int i = 0; i < 2; i++)
        if (parts[i].iov_len) messages[used++].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    int got = recvmmsg(fd, messages, used, MSG_WAITFORONE, NULL);
    ssize_t total = got < 0 ? -1 : 0;
    // A message may be filled in part and the next one still follow it: put them together again.
    char *end = messages[0].msg_hdr.msg_iov->iov_base;
    for (int i = 0; i < got; i++) {
        memmove(end, messages[i].msg_hdr.msg_iov->iov_base, messages[i].msg_len);
        end += messages[i].msg_len;
        total += messages[i].msg_len;
    }
    return total;
}

// Looks without taking, in ways that must not be mistaken for taking.
static void peek(struct worker *worker, char *bytes, size_t count)
{
    bool tcp = worker->plan->transport == TCP4 || worker->plan->transport == TCP6;
    int flags = MSG_PEEK | (tcp && percent(&worker->state.random, 30) ? MSG_TRUNC : 0);
    ssize_t seen = recv(worker->fd, bytes, count, flags);
    if (seen > 0 && !(flags & MSG_TRUNC)) compare(worker, bytes, seen);
}

static ssize_t visibly(struct worker *worker, char *bytes, size_t count, bool is_sure)
{
    uint64_t *random = &worker->state.random;
    size_t first = below(random, count + 1);
    struct iovec parts[2] = {{bytes, first}, {bytes + first, count - first}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int flags = is_sure && percent(random, 30) ? MSG_WAITALL : percent(random, 20) ? MSG_DONTWAIT : 0;
    switch (below(random, 6)) {
    case 0: return read(worker->fd, bytes, count);
    case 1: return readv(worker->fd, parts, 2);
    case 2: return recv(worker->fd, bytes, count, flags);
    case 3: return recvfrom(worker->fd, bytes, count, flags, NULL, NULL);
    case 4: return recvmsg(worker->fd, &message, flags);
    default: return preadv2(worker->fd, parts, 2, -1, 0);
    }
}

void receive_some(struct worker *worker, size_t must, size_t may)
{
    struct state *state = &worker->state;
    enum side sender = !state->side;
    size_t from = state->consumed, end = plan_cut(worker->plan, sender, from, may, &state->random);
    bool tcp = worker->plan->transport == TCP4 || worker->plan->transport == TCP6;
    char *bytes = malloc(end - from);
    if (!bytes) abort();
    if (percent(&state->random, 12)) peek(worker, bytes, end - from);
    ssize_t got;
    const char *form = NULL;
    bool readable = true;
    if (percent(&state->random, 50) && plan_may_hide(worker->plan, sender, from, end)) {
        size_t half = (end - from + 1) / 2;
        struct iovec parts[2] = {{bytes, half}, {bytes + half, end - from - half}};
        // Out of a unix socket a splice leaves no trace at the socket hooks, not even a position: what the bytes behind it
        // belong to cannot be known then.
        switch (below(&state->random, tcp ? 3 : 1)) {
        case 0:
            form = "recvmmsg";
            got = by_recvmmsg(worker->fd, parts);
            break;
        case 1:
            form = "splice";
            got = by_splice(worker, bytes, end - from);
            break;
        default: // TCP alone throws away what MSG_TRUNC takes (tcp(7))
            form = "trunc";
            readable = false;
            got = recv(worker->fd, NULL, end - from, MSG_TRUNC);
        }
    } else {
        got = visibly(worker, bytes, end - from, end <= must);
    }
    if (got > 0) {
        if (readable) compare(worker, bytes, got);
        if (form) hide(worker, sender, from, from + got, form);
        state->consumed += got;
    } else if (got == 0 || errno != EAGAIN) {
        fail(worker, got == 0 ? "the stream ended early" : form ? form : "receiving");
    } else {
        wait_for(worker->fd, POLLIN);
    }
    free(bytes);
}

void receive_end(struct worker *worker)
{
    char byte;
    ssize_t got;
    while ((got = recv(worker->fd, &byte, 1, 0)) < 0 && errno == EAGAIN) wait_for(worker->fd, POLLIN);
    if (got > 0) fail(worker, "bytes after the end");
}
