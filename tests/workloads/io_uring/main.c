// A receive by io_uring that completes inside another call: what that call names as its buffer is not what was received.
//
// Usage: io_uring PORT
// Asks for /uring by an ordinary call, has io_uring wait for the answer, and reads from a pipe meanwhile. The kernel hands
// over the answer while the thread is in that read, whose buffer holds another answer, which nobody ever sent.
// Exits with 77 when io_uring is not to be had.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

// One submission queue entry, and what of the rings is needed to hand it in.
struct ring {
    int file;
    struct io_uring_params params;
    char *queue;
    struct io_uring_sqe *entries;
    char *done;
};

static struct ring set_up(void)
{
    struct ring ring = { 0 };
    ring.file = (int)syscall(SYS_io_uring_setup, 1, &ring.params);
    if (ring.file < 0) exit(errno == ENOSYS || errno == EPERM ? 77 : 1);
    const struct io_uring_params *params = &ring.params;
    size_t queue = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    size_t done = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    ring.queue = mmap(NULL, queue, protection, flags, ring.file, IORING_OFF_SQ_RING);
    ring.done = mmap(NULL, done, protection, flags, ring.file, IORING_OFF_CQ_RING);
    ring.entries = mmap(NULL, sizeof *ring.entries, protection, flags, ring.file, IORING_OFF_SQES);
    if (ring.queue == MAP_FAILED || ring.done == MAP_FAILED || ring.entries == MAP_FAILED) die("mmap");
    return ring;
}

static void receive_later(struct ring *ring, int socket, char *buffer, unsigned size)
{
    ring->entries[0] = (struct io_uring_sqe){
        .opcode = IORING_OP_RECV, .fd = socket, .addr = (uintptr_t)buffer, .len = size };
    ((unsigned *)(ring->queue + ring->params.sq_off.array))[0] = 0;
    unsigned *tail = (unsigned *)(ring->queue + ring->params.sq_off.tail);
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring->file, 1, 0, 0, NULL, 0) != 1) die("io_uring_enter");
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    signal(SIGALRM, SIG_DFL);
    alarm(20);
    struct ring ring = set_up();
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) die("connect");
    static char answer[4096];
    static char buffer[4096] = "HTTP/1.1 500 Ghost\r\nContent-Length: 0\r\n\r\n";
    receive_later(&ring, connection, answer, sizeof answer);
    int ends[2];
    if (pipe(ends)) die("pipe");
    pid_t child = fork();
    if (child == 0) {
        // Lets the read end once the answer has come: its own end of the connection tells, without taking it.
        static const char request[] = "GET /uring HTTP/1.1\r\nHost: uring\r\n\r\n";
        if (write(connection, request, sizeof request - 1) < 0) die("write");
        unsigned *tail = (unsigned *)(ring.done + ring.params.cq_off.tail);
        while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == 0) usleep(1000);
        if (write(ends[1], "!", 1) != 1) die("write");
        _exit(0);
    }
    ssize_t got = read(ends[0], buffer, sizeof buffer);
    if (got != 1) die("read");
    if (memcmp(answer, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "another answer: %.40s\n", answer);
        return 1;
    }
    return 0;
}
