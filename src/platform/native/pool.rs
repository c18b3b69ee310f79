//! The threads that share loops: they spin for a moment between two of them, as the steps of a model follow each other within
//! microseconds, and sleep after that.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Condvar, Mutex, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

/// What a thread does for each part; its second argument is the thread's number, 0 for the caller.
type Job<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Looks for the next loop before a thread goes to sleep: some fifty microseconds.
const SPINS: usize = 20_000;
/// In `gate`: a loop is open to join.
const OPEN: usize = 1 << 31;
/// In `gate`: one more loop has been opened.
const EPOCH: usize = 1 << 32;
/// In `gate`: how many workers are inside.
const INSIDE: usize = OPEN - 1;

/// The open loop, as workers see it.
#[derive(Clone, Copy)]
struct Loop {
    job: *const Job<'static>,
    parts: usize,
    /// Workers with a number from this on stay outside.
    threads: usize,
}

// SAFETY: the pointer is used between joining and leaving only, and the caller waits until all have left.
unsafe impl Send for Loop {}

struct Shared {
    /// Epoch, whether a loop is open, and how many workers are inside: who joins changes it in one step, so that a loop cannot end
    /// under somebody who is about to enter.
    gate: AtomicUsize,
    current: Mutex<Option<Loop>>,
    next: AtomicUsize,
    panicked: AtomicBool,
    sleeping: Mutex<usize>,
    wake: Condvar,
}

static SHARED: Shared = Shared {
    gate: AtomicUsize::new(0),
    current: Mutex::new(None),
    next: AtomicUsize::new(0),
    panicked: AtomicBool::new(false),
    sleeping: Mutex::new(0),
    wake: Condvar::new(),
};

/// One loop at a time: who finds it taken works alone.
static TAKEN: Mutex<()> = Mutex::new(());

/// How many threads share a loop: `WEBMAMBA_THREADS`, else as many as the machine gives this process.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let asked = std::env::var("WEBMAMBA_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).min(256)
    })
}

/// Calls `job(part, thread)` for every part below `parts`, on at most `threads` threads with numbers below that.
pub(crate) fn run_parts(parts: usize, threads: usize, job: &Job<'_>) {
    let threads = threads.min(self::threads());
    let guard = match TAKEN.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    if parts <= 1 || threads <= 1 || guard.is_none() {
        return (0..parts).for_each(|part| job(part, 0));
    }
    start_workers();
    // SAFETY: the loop is closed, and all workers have left it, before this function returns.
    let job_for_all: *const Job<'static> = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
    let shared = &SHARED;
    *lock(&shared.current) = Some(Loop { job: job_for_all, parts, threads });
    shared.next.store(0, SeqCst);
    shared.gate.fetch_add(EPOCH | OPEN, SeqCst);
    if *lock(&shared.sleeping) > 0 {
        shared.wake.notify_all();
    }
    let mine = catch_unwind(AssertUnwindSafe(|| work(job, parts, 0)));
    shared.gate.fetch_and(!OPEN, SeqCst);
    let mut spins = 0usize;
    while shared.gate.load(SeqCst) & INSIDE != 0 {
        spins += 1;
        if spins.is_multiple_of(SPINS) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
    *lock(&shared.current) = None;
    let theirs = shared.panicked.swap(false, SeqCst);
    drop(guard);
    if let Err(panic) = mine {
        resume_unwind(panic);
    }
    assert!(!theirs, "a worker panicked");
}

fn work(job: &Job<'_>, parts: usize, thread: usize) {
    loop {
        let part = SHARED.next.fetch_add(1, SeqCst);
        if part >= parts {
            return;
        }
        job(part, thread);
    }
}

fn start_workers() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        for number in 1..threads() {
            // Where the system has no thread to give, the others do its part.
            let _ = std::thread::Builder::new().name(format!("webmamba-{number}")).spawn(move || serve(number));
        }
    });
}

fn serve(number: usize) {
    let shared = &SHARED;
    let mut seen = 0;
    loop {
        let gate = wait(seen);
        seen = gate / EPOCH;
        // Whoever finds the gate changed meanwhile looks again.
        if shared.gate.compare_exchange(gate, gate + 1, SeqCst, SeqCst).is_err() {
            seen -= 1;
            continue;
        }
        let current = *lock(&shared.current);
        if let Some(Loop { job, parts, threads }) = current
            && number < threads
        {
            // SAFETY: this thread is inside, so the caller that owns the job has not returned.
            let job = unsafe { &*job };
            if catch_unwind(AssertUnwindSafe(|| work(job, parts, number))).is_err() {
                shared.panicked.store(true, SeqCst);
            }
        }
        shared.gate.fetch_sub(1, SeqCst);
    }
}

/// Waits until a loop is open that is newer than `seen`; the state of the gate.
fn wait(seen: usize) -> usize {
    let shared = &SHARED;
    let open = || {
        let gate = shared.gate.load(SeqCst);
        (gate & OPEN != 0 && gate / EPOCH > seen).then_some(gate)
    };
    for _ in 0..SPINS {
        if let Some(gate) = open() {
            return gate;
        }
        std::hint::spin_loop();
    }
    let mut sleeping = lock(&shared.sleeping);
    loop {
        // Asked under the lock under which a caller looks for sleepers, so that no loop is missed.
        if let Some(gate) = open() {
            return gate;
        }
        *sleeping += 1;
        sleeping = shared.wake.wait(sleeping).unwrap_or_else(PoisonError::into_inner);
        *sleeping -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_in_loops_that_follow_each_other() {
        for round in 0..2000 {
            let parts = round % 17;
            let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            run_parts(parts, threads(), &|part, thread| {
                assert!(thread < threads());
                counts[part].fetch_add(1, SeqCst);
            });
            assert!(counts.iter().all(|c| c.load(SeqCst) == 1), "round {round}");
        }
    }

    #[test]
    fn a_loop_inside_a_loop_runs_too() {
        let sum = AtomicUsize::new(0);
        run_parts(4, threads(), &|_, _| {
            run_parts(5, threads(), &|part, _| {
                sum.fetch_add(part, SeqCst);
            });
        });
        assert_eq!(sum.load(SeqCst), 40);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_next_loop_runs() {
        let caught = catch_unwind(|| run_parts(64, threads(), &|part, _| assert_ne!(part, 3)));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        run_parts(8, threads(), &|part, _| {
            sum.fetch_add(part, SeqCst);
        });
        assert_eq!(sum.load(SeqCst), 28);
    }
}
