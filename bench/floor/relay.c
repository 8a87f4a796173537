/* The floor: the least that any relay does, in C. One thread, one epoll, blocking writes.
 *
 * A caller's POST goes as one WebSocket frame to the upstream, on a line that is kept for the next; what the upstream says
 * comes back as server-sent events, all that one read brought in one chunk. Nothing is checked, matched or repaired.
 *
 *     relay UPSTREAM_PORT        listens on a port of 127.0.0.1 that the system chooses, and prints it
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ = 256 * 1024, MOST = 1024 };

struct line { /* one socket: a caller's, or the upstream's for it */
    int fd, other, upstream, streaming;
    char *in;
    size_t have, room, before, length; /* the request: of its head, and of its body */
};

static struct line lines[MOST];
static int idle[MOST], idles, loop, upstream_port;
static char out[4 * READ];

static void fail(const char *what) { perror(what); exit(1); }

static void all(int fd, const char *from, size_t left) {
    while (left > 0) {
        ssize_t sent = send(fd, from, left, MSG_NOSIGNAL);
        if (sent <= 0) return; /* whoever hangs up is seen by the next read */
        from += sent;
        left -= (size_t)sent;
    }
}

static struct line *begin(int fd, int upstream) {
    if (fd >= MOST) { fprintf(stderr, "too many sockets\n"); exit(1); }
    struct line *line = &lines[fd];
    char *in = line->in;
    size_t room = line->room;
    memset(line, 0, sizeof *line);
    line->fd = fd; line->other = -1; line->upstream = upstream; line->in = in; line->room = room;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    return line;
}

static int dial(void) {
    if (idles) return idle[--idles];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)upstream_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    const char *ask = "GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    all(fd, ask, strlen(ask));
    char said[1024];
    size_t have = 0;
    while (have < 4 || memcmp(said + have - 4, "\r\n\r\n", 4)) {
        if (have == sizeof said || read(fd, said + have, 1) != 1) fail("upgrade");
        have++;
    }
    begin(fd, 1);
    return fd;
}

static void create(struct line *caller, const char *body, size_t size) {
    unsigned char head[14] = {0x81, 0xff}; /* a mask of zeros changes nothing */
    for (int i = 0; i < 8; i++) head[2 + i] = (unsigned char)(size >> (8 * (7 - i)));
    int fd = dial();
    caller->other = fd;
    lines[fd].other = caller->fd;
    lines[fd].have = 0;
    all(fd, (char *)head, sizeof head);
    all(fd, body, size);
}

/* Whether a whole request is there: then it is on its way upstream. */
static void asked(struct line *caller) {
    if (!caller->before) {
        char *end = memmem(caller->in, caller->have, "\r\n\r\n", 4);
        if (!end) return;
        *end = 0;
        char *said = strcasestr(caller->in, "content-length:");
        *end = '\r';
        caller->length = said ? strtoul(said + 15, NULL, 10) : 0;
        caller->before = (size_t)(end + 4 - caller->in);
    }
    if (caller->have < caller->before + caller->length) return;
    create(caller, caller->in + caller->before, caller->length);
    caller->have = caller->before = 0;
}

/* Every whole frame that is there, as one chunk. */
static void said(struct line *up) {
    struct line *caller = &lines[up->other];
    size_t at = 0, end = 0;
    char *write = out + 16; /* room for the chunk's head */
    int last = 0;
    while (up->have - at >= 4) {
        unsigned char *frame = (unsigned char *)up->in + at;
        size_t size = frame[1] & 127, head = 2;
        if (size == 126) { size = (size_t)frame[2] << 8 | frame[3]; head = 4; }
        else if (size == 127) {
            if (up->have - at < 10) break;
            size = 0; head = 10;
            for (int i = 2; i < 10; i++) size = size << 8 | frame[i];
        }
        if (up->have - at < head + size) break;
        char *text = up->in + at + head, *type = text + 9, *quote = memchr(type, '"', size - 9);
        size_t name = (size_t)(quote - type);
        memcpy(write, "event: ", 7); write += 7;
        memcpy(write, type, name); write += name;
        memcpy(write, "\ndata: ", 7); write += 7;
        memcpy(write, text, size); write += size;
        memcpy(write, "\n\n", 2); write += 2;
        last = name == 18 && !memcmp(type, "response.completed", 18);
        at += head + size;
        end = (size_t)(write - out);
    }
    memmove(up->in, up->in + at, up->have - at);
    up->have -= at;
    if (!end) return;
    char head[256];
    int size = caller->streaming ? 0 : sprintf(head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                                     "transfer-encoding: chunked\r\n\r\n");
    if (size) all(caller->fd, head, (size_t)size);
    caller->streaming = !last;
    size = sprintf(head, "%zx\r\n", end - 16);
    memcpy(out + 16 - size, head, (size_t)size);
    memcpy(out + end, last ? "\r\n0\r\n\r\n" : "\r\n", last ? 7 : 2);
    all(caller->fd, out + 16 - size, end - 16 + (size_t)size + (last ? 7 : 2));
    if (last) {
        idle[idles++] = up->fd;
        caller->other = up->other = -1;
    }
}

static void ready(int fd) {
    struct line *line = &lines[fd];
    if (line->room < line->have + READ) {
        line->room = 2 * line->room + READ;
        line->in = realloc(line->in, line->room);
    }
    ssize_t got = read(fd, line->in + line->have, line->upstream ? READ : line->room - line->have);
    if (got <= 0) { close(fd); return; }
    line->have += (size_t)got;
    if (!line->upstream) asked(line);
    else if (line->other >= 0) said(line);
}

int main(int count, char **words) {
    if (count != 2) { fprintf(stderr, "usage: relay UPSTREAM_PORT\n"); return 2; }
    upstream_port = atoi(words[1]);
    loop = epoll_create1(0);
    int door = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    if (bind(door, (struct sockaddr *)&here, size) || listen(door, 512)) fail("listen");
    getsockname(door, (struct sockaddr *)&here, &size);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, events[64];
    epoll_ctl(loop, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int many = epoll_wait(loop, events, 64, -1);
        for (int i = 0; i < many; i++) {
            if (events[i].data.fd != door) { ready(events[i].data.fd); continue; }
            int fd = accept(door, NULL, NULL);
            if (fd >= 0) begin(fd, 0);
        }
    }
}
