/* A truth service in C with a thread for each connection. See tests/src/truth/services.rs for what it does.
 * Usage: service SERVICE PORT [NEXT…] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_NEXT = 8, MAX_KEPT = 512, HEAD = 4096, ID = 64, PATH = 128 };

static const char *name;
static int next[MAX_NEXT], nexts;

/* Kept connections to each next service. */
static struct { pthread_mutex_t lock; int open[MAX_KEPT], count; } kept[MAX_NEXT];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, body, argument) != 0)
        die("pthread_create");
    pthread_attr_destroy(&attributes);
}

/* A port at an address that the environment may name. */
static struct sockaddr_in place(const char *variable, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    const char *named = getenv(variable);
    if (inet_pton(AF_INET, named ? named : "127.0.0.1", &address.sin_addr) != 1)
        die(variable);
    return address;
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Reads up to the end of a head and of the `body` bytes behind it; 0 when the peer has closed before. */
static int read_message(int fd, char *into, size_t body)
{
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, into + have, HEAD - 1 - have, 0);
        if (got <= 0)
            return 0;
        have += (size_t)got;
        into[have] = 0;
        char *end = strstr(into, "\r\n\r\n");
        if (end && (size_t)(into + have - (end + 4)) >= body)
            return 1;
    }
}

static int connection_to(int which)
{
    int fd = -1;
    pthread_mutex_lock(&kept[which].lock);
    if (kept[which].count > 0)
        fd = kept[which].open[--kept[which].count];
    pthread_mutex_unlock(&kept[which].lock);
    if (fd >= 0)
        return fd;
    struct sockaddr_in address = place("TRUTH_NEXT", next[which]);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    no_delay(fd);
    return fd;
}

/* Asks a service over a kept connection; whether it answered well. All that is asked answers with three bytes. */
static int ask(int which, const char *path)
{
    char text[HEAD];
    int fd = connection_to(which);
    int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", path, next[which]);
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length || !read_message(fd, text, 3)) {
        close(fd);
        return 0;
    }
    pthread_mutex_lock(&kept[which].lock);
    if (kept[which].count < MAX_KEPT) {
        kept[which].open[kept[which].count++] = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&kept[which].lock);
    if (fd >= 0)
        close(fd);
    return strstr(text, " 200 ") != NULL;
}

static int habit(const char *id)
{
    unsigned sum = 0;
    for (; *id; id++)
        sum += (unsigned char)*id;
    return (int)(sum % 8);
}

static void *later(void *path)
{
    ask(0, path);
    free(path);
    return NULL;
}

static int work(const char *id)
{
    char path[PATH];
    int kind = habit(id), well = 1;
    if (kind == 0) {
        snprintf(path, sizeof path, "/later/%s", id);
        start(later, strdup(path));
    }
    if (kind == 1)
        usleep(2000);
    for (int at = 0; at < nexts; at++) {
        snprintf(path, sizeof path, "/call/%s.%d", id, at);
        well = ask(at, path) && well;
        if (kind == 3)
            usleep(1000);
    }
    return well;
}

static void *serve(void *argument)
{
    int fd = (int)(long)argument;
    char head[HEAD], id[ID], path[PATH];
    no_delay(fd);
    while (read_message(fd, head, 0)) {
        int calls = nexts > 0 && sscanf(head, "GET /call/%63[0-9.] ", id) == 1;
        const char *answer = !calls || work(id) ? "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
                                                : "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n";
        if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            break;
        if (calls && habit(id) == 4) {
            snprintf(path, sizeof path, "/after/%s", id);
            ask(0, path);
        }
    }
    close(fd);
    return NULL;
}

static void *timer(void *unused)
{
    char path[PATH];
    for (long number = 0;; number++) {
        usleep(20000);
        snprintf(path, sizeof path, "/timer/%s.%ld", name, number);
        ask(0, path);
    }
    return unused;
}

int main(int count, char **arguments)
{
    if (count < 3 || count - 3 > MAX_NEXT) {
        fprintf(stderr, "usage: service SERVICE PORT [NEXT...]\n");
        return 2;
    }
    name = arguments[1];
    for (int at = 3; at < count; at++) {
        pthread_mutex_init(&kept[nexts].lock, NULL);
        next[nexts++] = atoi(arguments[at]);
    }
    struct sockaddr_in address = place("TRUTH_HERE", atoi(arguments[2]));
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 256) != 0)
        die("listen");
    if (nexts > 0)
        start(timer, NULL);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            start(serve, (void *)(long)fd);
    }
}
