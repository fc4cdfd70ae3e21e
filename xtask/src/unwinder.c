/* What gcc's unwinder asks glibc for since 2.35, by what musl has: which object an address is in, and where that object's
 * unwind tables begin. Linked into the static agent where Rust's library for musl is built from source. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>

/* It only calls these if they are there, and an archive gives what is asked for. */
__attribute__((used)) static void *const needed[] = {
    (void *)pthread_once,        (void *)pthread_key_create,  (void *)pthread_getspecific,
    (void *)pthread_setspecific, (void *)pthread_mutex_lock,  (void *)pthread_mutex_unlock,
};

/* As glibc lays it out on 64-bit machines (dlfcn.h). */
struct dl_find_object {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct wanted {
    ElfW(Addr) address;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    struct wanted *wanted = data;
    void *tables = 0, *start = 0, *end = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        ElfW(Addr) from = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_GNU_EH_FRAME)
            tables = (void *)from;
        if (header->p_type == PT_LOAD && from <= wanted->address && wanted->address - from < header->p_memsz) {
            start = (void *)from;
            end = (void *)(from + header->p_memsz);
        }
    }
    if (!start || !tables)
        return 0;
    wanted->found->flags = 0;
    wanted->found->map_start = start;
    wanted->found->map_end = end;
    wanted->found->link_map = 0;
    wanted->found->eh_frame = tables;
    return 1;
}

int _dl_find_object(void *address, struct dl_find_object *found)
{
    struct wanted wanted = {(ElfW(Addr))address, found};
    return dl_iterate_phdr(look, &wanted) ? 0 : -1;
}
