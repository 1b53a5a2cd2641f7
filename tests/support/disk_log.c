/* Note what is synced and removed below a store, in every process of a service (LD_PRELOAD); see disk_log.py.
 *
 * HARVEST_HOME/disk/log gets a line for each event, with its time in nanoseconds:
 *   F <time> <inode> <size> <mtime>               a file was synced
 *   D <time> <inode> [<TAB><inode>/<name>]...     a folder was synced, with these names
 *   R <time> <inode>                              a folder was removed
 * A file that loses a name, because it is removed or replaced, stays as HARVEST_HOME/disk/kept/<inode>: after a loss of
 * power the name may be back. Time, size and names are taken before the call, so that nothing counts as synced that came
 * in while it ran.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char store[PATH_MAX], disk[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *home = getenv("HARVEST_HOME");
    if (home == NULL) return;
    snprintf(store, sizeof store, "%s/store", home);
    snprintf(disk, sizeof disk, "%s/disk", home);
}

/* Make the folders with the first event: before it, a program may change its user. */
static void make_folders(void) {
    char folder[PATH_MAX + 8];
    mkdir(disk, 0700);
    snprintf(folder, sizeof folder, "%s/kept", disk);
    mkdir(folder, 0700);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void note(const char *line, size_t length) {
    char path[PATH_MAX + 8];
    make_folders();
    snprintf(path, sizeof path, "%s/log", disk);
    int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, length) != (ssize_t)length) abort(); /* a line that is missing would be a lie */
    close(log);
}

/* Whether a path lies in the store, which may be away for a while under a name of its own. */
static int is_in_store(const char *path) {
    size_t length = strlen(store);
    if (length == 0 || strncmp(path, store, length) != 0) return 0;
    path += length;
    if (strncmp(path, ".away", 5) == 0) path += 5;
    return *path == '/' || *path == '\0';
}

static int is_open_in_store(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return is_in_store(path);
}

static int is_named_in_store(int folder, const char *path) {
    return *path == '/' ? is_in_store(path) : folder != AT_FDCWD && is_open_in_store(folder);
}

/* What to note if a file or folder is synced now; to be freed. */
static char *state_of(int file, size_t *length) {
    struct stat state;
    char *line = NULL;
    if (!is_open_in_store(file) || fstat(file, &state) != 0) return NULL;
    FILE *text = open_memstream(&line, length);
    if (S_ISDIR(state.st_mode)) {
        fprintf(text, "D %lld %lu ", now(), (unsigned long)state.st_ino);
        int again = openat(file, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *names = again < 0 ? NULL : fdopendir(again);
        for (struct dirent *one; names != NULL && (one = readdir(names)) != NULL;)
            if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0)
                fprintf(text, "\t%lu/%s", (unsigned long)one->d_ino, one->d_name);
        if (names != NULL) closedir(names);
        fputc('\n', text);
    } else {
        fprintf(text, "F %lld %lu %lld %lld\n", now(), (unsigned long)state.st_ino, (long long)state.st_size,
                state.st_mtim.tv_sec * 1000000000LL + state.st_mtim.tv_nsec);
    }
    fclose(text);
    return line;
}

static int synced(int file, int (*sync)(int)) {
    size_t length = 0;
    char *line = state_of(file, &length);
    int result = sync(file), problem = errno;
    if (line != NULL && result == 0) note(line, length);
    free(line);
    errno = problem;
    return result;
}

int fsync(int file) { return synced(file, NEXT(fsync)); }
int fdatasync(int file) { return synced(file, NEXT(fdatasync)); }

/* Keep a file that is about to lose a name; the inode of a folder, which cannot be kept, else 0. */
static unsigned long keep(int folder, const char *path) {
    struct stat state;
    char kept[PATH_MAX + 32];
    int problem = errno;
    unsigned long removed = 0;
    if (is_named_in_store(folder, path) && fstatat(folder, path, &state, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(state.st_mode)) {
            removed = state.st_ino;
        } else {
            make_folders();
            snprintf(kept, sizeof kept, "%s/kept/%lu", disk, (unsigned long)state.st_ino);
            linkat(folder, path, AT_FDCWD, kept, 0);
        }
    }
    errno = problem;
    return removed;
}

static int ended(int result, unsigned long removed) {
    char line[64];
    int problem = errno;
    if (result == 0 && removed != 0) note(line, snprintf(line, sizeof line, "R %lld %lu\n", now(), removed));
    errno = problem;
    return result;
}

int unlink(const char *path) {
    keep(AT_FDCWD, path);
    return NEXT(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    unsigned long removed = keep(folder, path);
    return ended(NEXT(unlinkat)(folder, path, flags), removed);
}

int rmdir(const char *path) {
    unsigned long removed = keep(AT_FDCWD, path);
    return ended(NEXT(rmdir)(path), removed);
}

int remove(const char *path) {
    unsigned long removed = keep(AT_FDCWD, path);
    return ended(NEXT(remove)(path), removed);
}

int rename(const char *from, const char *to) {
    unsigned long removed = keep(AT_FDCWD, to);
    return ended(NEXT(rename)(from, to), removed);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    unsigned long removed = keep(to_folder, to);
    return ended(NEXT(renameat)(from_folder, from, to_folder, to), removed);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags) {
    unsigned long removed = keep(to_folder, to);
    return ended(NEXT(renameat2)(from_folder, from, to_folder, to, flags), removed);
}
