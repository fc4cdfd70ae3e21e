// Every form of sending.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "forms.h"

// Cuts the bytes in up to three parts.
static int split(struct iovec *parts, char *bytes, size_t count, uint64_t *random)
{
    size_t first = below(random, count + 1), second = first + below(random, count - first + 1);
    parts[0] = (struct iovec){bytes, first};
    parts[1] = (struct iovec){bytes + first, second - first};
    parts[2] = (struct iovec){bytes + second, count - second};
    return 3;
}

// Moves the bytes into a pipe and from there into the socket.
static ssize_t by_splice(struct worker *worker, size_t count)
{
    int ends[2];
    if (pipe(ends)) fail(worker, "pipe");
    loff_t at = worker->state.written;
    ssize_t filled = splice(worker->memory, &at, ends[1], NULL, count, 0);
    if (filled <= 0) fail(worker, "splice into a pipe");
    for (ssize_t moved = 0; moved < filled;) {
        ssize_t now = splice(ends[0], NULL, worker->fd, NULL, filled - moved, 0);
        if (now > 0) moved += now;
        else if (errno == EAGAIN) wait_for(worker->fd, POLLOUT);
        else fail(worker, "splice into the socket");
    }
    close(ends[0]);
    close(ends[1]);
    return filled;
}

static ssize_t by_sendmmsg(int fd, struct iovec *parts, int flags)
{
    struct mmsghdr messages[3] = {0};
    int used = 0;
    for (int i = 0; i < 3; i++)
        if (parts[i].iov_len) messages[used++].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    int sent = sendmmsg(fd, messages, used, flags);
    ssize_t total = sent < 0 ? -1 : 0;
    for (int i = 0; i < sent; i++) total += messages[i].msg_len;
    return total;
}

static ssize_t visibly(struct worker *worker, char *bytes, size_t count, bool more)
{
    uint64_t *random = &worker->state.random;
    struct iovec parts[3];
    int flags = MSG_NOSIGNAL | (percent(random, 20) ? MSG_DONTWAIT : 0) | (more && percent(random, 20) ? MSG_MORE : 0);
    int used = split(parts, bytes, count, random);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = used};
    switch (below(random, 6)) {
    case 0: return write(worker->fd, bytes, count);
    case 1: return writev(worker->fd, parts, used);
    case 2: return send(worker->fd, bytes, count, flags);
    case 3: return sendto(worker->fd, bytes, count, flags, NULL, 0);
    case 4: return sendmsg(worker->fd, &message, flags);
    default: return pwritev2(worker->fd, parts, used, -1, 0);
    }
}

void send_some(struct worker *worker, size_t to)
{
    struct state *state = &worker->state;
    enum side sender = state->side;
    size_t from = state->written, end = plan_cut(worker->plan, sender, from, to, &state->random);
    char *bytes = worker->plan->stream[sender] + from;
    ssize_t sent;
    const char *form = NULL;
    if (percent(&state->random, 50) && plan_may_hide(worker->plan, sender, from, end)) {
        struct iovec parts[3];
        off_t at = from;
        switch (below(&state->random, 3)) {
        case 0:
            form = "sendfile";
            sent = sendfile(worker->fd, worker->memory, &at, end - from);
            break;
        case 1:
            form = "splice";
            sent = by_splice(worker, end - from);
            break;
        default:
            form = "sendmmsg";
            split(parts, bytes, end - from, &state->random);
            sent = by_sendmmsg(worker->fd, parts, MSG_NOSIGNAL);
        }
    } else {
        sent = visibly(worker, bytes, end - from, end < to);
    }
    if (sent < 0 && errno == EAGAIN) {
        wait_for(worker->fd, POLLOUT);
        return;
    }
    if (sent < 0) fail(worker, form ? form : "sending");
    if (form) hide(worker, sender, from, from + sent, form);
    state->written += sent;
}
