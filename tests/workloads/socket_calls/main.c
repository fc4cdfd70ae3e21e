// Random HTTP/1.1 exchanges by random socket calls, one connection for each seed, and the truth about each.
//
// Usage: socket_calls FIRST_SEED COUNT      (its working folder takes the unix sockets)
// Prints one line of JSON for each seed: transport, exchanges with their positions, and the stretches that one side
// moved by calls whose bytes cannot be seen.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forms.h"

// What a process or thread of a seed is there for.
struct part {
    struct worker worker;
    bool is_heir;
    int heir;     // socket to hand over by, or to inherit from; -1 without
    int listener; // the server's; -1 with a pair
    const struct sockaddr_storage *address;
    socklen_t address_length;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void set_up(const struct plan *plan, int fd)
{
    int one = 1, smallest = 1;
    if (plan->transport == TCP4 || plan->transport == TCP6) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (plan->small_buffers) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest);
    if (plan->nonblocking) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void *run_part(void *argument)
{
    struct part *part = argument;
    struct worker *worker = &part->worker;
    if (part->is_heir) {
        run_heir(worker, part->heir);
        return NULL;
    }
    if (part->listener >= 0) {
        worker->fd = worker->state.side == SERVER ? accept(part->listener, NULL, NULL)
                                                  : socket(part->address->ss_family, SOCK_STREAM, 0);
        if (worker->fd < 0) fail(worker, "opening");
        if (worker->state.side == CLIENT &&
            connect(worker->fd, (const struct sockaddr *)part->address, part->address_length))
            fail(worker, "connecting");
    }
    set_up(worker->plan, worker->fd);
    run_side(worker, part->heir);
    return NULL;
}

// Fills in an address to listen on.
static socklen_t address_of(const struct plan *plan, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (plan->transport == TCP4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *v4;
    }
    if (plan->transport == TCP6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        return sizeof *v6;
    }
    struct sockaddr_un *path = (struct sockaddr_un *)address;
    path->sun_family = AF_UNIX;
    snprintf(path->sun_path, sizeof path->sun_path, "seed-%llu", (unsigned long long)plan->seed);
    unlink(path->sun_path);
    return sizeof *path;
}

static void print_truth(const struct plan *plan, const struct record *record)
{
    static const char *const TRANSPORT[] = {"tcp4", "tcp6", "unix", "pair"};
    static const char *const FRAMING[] = {"none", "length", "chunked", "close"};
    static const char *const SIDE[] = {"client", "server"};
    printf("{\"seed\":%llu,\"transport\":\"%s\",\"threads\":%s,\"exchanges\":[", (unsigned long long)plan->seed,
           TRANSPORT[plan->transport], plan->threads ? "true" : "false");
    int group = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct exchange *exchange = &plan->exchanges[i];
        while (i >= plan->group_end[group]) group++;
        printf("%s{\"group\":%d,\"path\":\"/s/%llu/%d\",\"method\":\"%s\",\"status\":%d", i ? "," : "", group,
               (unsigned long long)plan->seed, i, exchange->method, exchange->status);
        for (int side = CLIENT; side <= SERVER; side++) {
            const struct message *message = &exchange->message[side];
            printf(",\"%s\":{\"start\":%zu,\"head_end\":%zu,\"end\":%zu,\"body\":%zu,\"framing\":\"%s\"}",
                   side == CLIENT ? "request" : "answer", message->start, message->head_end, message->end,
                   message->body, FRAMING[message->framing]);
        }
        printf("}");
    }
    printf("],\"hidden\":[");
    for (int i = 0; i < record->count; i++) {
        const struct hidden *hidden = &record->hidden[i];
        printf("%s{\"by\":\"%s\",\"sender\":\"%s\",\"from\":%zu,\"to\":%zu,\"form\":\"%s\"}", i ? "," : "",
               SIDE[hidden->by], SIDE[hidden->sender], hidden->from, hidden->to, hidden->form);
    }
    printf("]}\n");
    fflush(stdout);
}

static void close_all(const int *descriptors, int count)
{
    for (int i = 0; i < count; i++)
        if (descriptors[i] >= 0) close(descriptors[i]);
}

static void run_seed(uint64_t seed, struct record *record)
{
    struct plan *plan = plan_make(seed);
    record->count = 0;
    struct sockaddr_storage address;
    socklen_t length = 0;
    // The listener, then the pair, then each side's way to its heir (both ends).
    int fds[7] = {-1, -1, -1, -1, -1, -1, -1};
    if (plan->transport == UNIX_PAIR) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, &fds[1])) die("socketpair");
    } else {
        length = address_of(plan, &address);
        fds[0] = socket(address.ss_family, SOCK_STREAM, 0);
        if (bind(fds[0], (struct sockaddr *)&address, length) || listen(fds[0], 1)) die("listen");
        if (plan->transport != UNIX_PATH) getsockname(fds[0], (struct sockaddr *)&address, &length);
    }
    struct part parts[4];
    int count = 0;
    for (int side = CLIENT; side <= SERVER; side++) {
        int *way = &fds[3 + 2 * side];
        if (plan->passes[side] && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, way)) die("socketpair");
        struct worker worker = {.plan = plan, .record = record, .fd = fds[1 + side]};
        worker.state = (struct state){.side = side, .random = seed * 31 + side};
        parts[count++] = (struct part){worker, false, way[0], fds[0], &address, length};
        worker.fd = -1;
        if (plan->passes[side]) parts[count++] = (struct part){worker, true, way[1], -1, NULL, 0};
    }
    if (plan->threads) {
        pthread_t threads[4];
        for (int i = 0; i < count; i++)
            if (pthread_create(&threads[i], NULL, run_part, &parts[i])) die("pthread_create");
        for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
        // The sides have closed their own ends of the pair.
        fds[1] = fds[2] = -1;
        close_all(fds, 7);
    } else {
        for (int i = 0; i < count; i++) {
            pid_t child = fork();
            if (child < 0) die("fork");
            if (child == 0) {
                for (int k = 0; k < 7; k++)
                    if (fds[k] >= 0 && fds[k] != parts[i].worker.fd && fds[k] != parts[i].heir && fds[k] != parts[i].listener)
                        close(fds[k]);
                alarm(30);
                run_part(&parts[i]);
                _exit(0);
            }
        }
        close_all(fds, 7);
        for (int i = 0; i < count; i++) {
            int status;
            if (wait(&status) < 0 || status) exit(1);
        }
    }
    print_truth(plan, record);
    if (plan->transport == UNIX_PATH) unlink(((struct sockaddr_un *)&address)->sun_path);
    plan_free(plan);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: socket_calls FIRST_SEED COUNT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct record *record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED) die("mmap");
    uint64_t first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
    for (uint64_t seed = first; seed < first + count; seed++) run_seed(seed, record);
    return 0;
}
