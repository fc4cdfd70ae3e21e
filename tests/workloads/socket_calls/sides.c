// The two sides of the connection, and how a side hands it to somebody else in the middle.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forms.h"

void hide(struct worker *worker, enum side sender, size_t from, size_t to, const char *form)
{
    int at = __atomic_fetch_add(&worker->record->count, 1, __ATOMIC_RELAXED);
    if (at >= MAX_HIDDEN) fail(worker, "too many hidden stretches");
    worker->record->hidden[at] = (struct hidden){from, to, form, worker->state.side, sender};
}

void wait_for(int fd, short events)
{
    struct pollfd wanted = {.fd = fd, .events = events};
    poll(&wanted, 1, 20000);
}

void fail(const struct worker *worker, const char *what)
{
    fprintf(stderr, "seed %llu, %s, written %zu, consumed %zu: %s (%s)\n", (unsigned long long)worker->plan->seed,
            worker->state.side == CLIENT ? "client" : "server", worker->state.written, worker->state.consumed, what,
            strerror(errno));
    _exit(1);
}

// Sends the descriptor and the state; the sender is done with the connection. -1 says that nothing will come.
static void hand_over(struct worker *worker, int to, bool really)
{
    struct iovec part = {&worker->state, sizeof worker->state};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (really) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &worker->fd, sizeof(int));
    }
    if (sendmsg(to, &message, 0) < 0) fail(worker, "handing over");
}

void run_heir(struct worker *worker, int from)
{
    struct iovec part = {&worker->state, sizeof worker->state};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(from, &message, 0) < 0) fail(worker, "inheriting");
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (!rights) return;
    memcpy(&worker->fd, CMSG_DATA(rights), sizeof(int));
    run_side(worker, -1);
}

// Sometimes goes on with another descriptor of the same socket.
static void change_descriptor(struct worker *worker)
{
    uint64_t *random = &worker->state.random;
    if (!percent(random, 8)) return;
    int other;
    if (percent(random, 50)) {
        other = dup(worker->fd);
    } else { // a number that was something else a moment ago
        other = open("/dev/null", O_RDWR);
        if (write(other, "GET /ghost HTTP/1.1\r\n\r\n", 23) < 0 || dup2(worker->fd, other) < 0) other = -1;
    }
    if (other < 0) fail(worker, "dup");
    close(worker->fd);
    worker->fd = other;
}

// Where this side has to be before it may do more: what it sends next, and what must have come before that.
static bool next_goal(const struct worker *worker, size_t *send_to, size_t *must, size_t *may)
{
    const struct plan *plan = worker->plan;
    const struct state *state = &worker->state;
    int first = 0;
    for (int group = 0; group < plan->groups; first = plan->group_end[group++]) {
        int last = plan->group_end[group] - 1;
        size_t requests_end = plan->exchanges[last].message[CLIENT].end;
        size_t answers_end = plan->exchanges[last].message[SERVER].end;
        if (state->side == CLIENT) {
            *send_to = requests_end;
            *must = *may = answers_end;
            if (state->written < requests_end || state->consumed < answers_end) return true;
            continue;
        }
        for (int i = first; i <= last; i++) {
            *must = plan->exchanges[i].message[CLIENT].end;
            *may = requests_end;
            *send_to = plan->exchanges[i].message[SERVER].end;
            if (state->written < *send_to) return true;
        }
    }
    return false;
}

void run_side(struct worker *worker, int heir)
{
    const struct plan *plan = worker->plan;
    struct state *state = &worker->state;
    worker->memory = memfd_create("stream", 0);
    if (write(worker->memory, plan->stream[state->side], plan->length[state->side]) < 0) fail(worker, "memfd");
    size_t send_to, must, may;
    while (next_goal(worker, &send_to, &must, &may)) {
        change_descriptor(worker);
        if (heir >= 0 && percent(&state->random, 15)) {
            hand_over(worker, heir, true);
            heir = -1;
            close(worker->fd);
            close(worker->memory);
            return;
        }
        bool sends_first = state->side == CLIENT ? state->written < send_to : state->consumed >= must;
        if (sends_first) send_some(worker, send_to);
        else receive_some(worker, must, may);
        if (state->side == CLIENT && plan->half_close && state->written == plan->length[CLIENT])
            shutdown(worker->fd, SHUT_WR);
    }
    if (heir >= 0) hand_over(worker, heir, false);
    bool by_close = plan->exchanges[plan->count - 1].message[SERVER].framing == BY_CLOSE;
    if (state->side == SERVER) {
        // The one who ends the answer by closing closes; else the client does.
        if (by_close) shutdown(worker->fd, SHUT_WR);
        receive_end(worker);
    } else if (by_close) {
        receive_end(worker);
    }
    close(worker->fd);
    close(worker->memory);
}
