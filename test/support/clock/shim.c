// Preloaded into a redis-server, replaces its wall clock (and only that) by the instant in the file $CLOCK_FILE, in
// milliseconds since 1970. The file is mapped, so the clock moves while the server runs. System calls only: looking up
// the real functions allocates, and the allocator asks for the time, which is how libfaketime hangs a redis-server that
// uses jemalloc.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *instant_ms = NULL;

__attribute__((constructor)) static void map_instant(void) {
  const char *path = getenv("CLOCK_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) instant_ms = mapped;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (instant_ms == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return syscall(SYS_clock_gettime, clock, now);
  int64_t instant = *instant_ms;
  *now = (struct timespec){instant / 1000, instant % 1000 * 1000000};
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int result = clock_gettime(CLOCK_REALTIME, &precise);
  if (result == 0) *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
  return result;
}

time_t time(time_t *seconds) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds) *seconds = now.tv_sec;
  return now.tv_sec;
}
