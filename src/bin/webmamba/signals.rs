//! Ctrl-C and its like end the program without leaving half of a file behind.

use webmamba::low_level::weights::remove_unfinished;

/// From now on what is half written is removed before a signal ends the program. To be called before there is a second thread.
#[cfg(unix)]
pub(crate) fn remove_unfinished_files() {
    use std::{mem::MaybeUninit, ptr, thread};

    let mut wanted = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by the first call; the others get valid pointers or none.
    let wanted = unsafe {
        libc::sigemptyset(wanted.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let mut now = MaybeUninit::<libc::sigaction>::zeroed();
            // What the parent said to ignore, as `nohup` does, stays ignored.
            if libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) == 0 && now.assume_init_ref().sa_sigaction != libc::SIG_IGN
            {
                libc::sigaddset(wanted.as_mut_ptr(), signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, wanted.as_ptr(), ptr::null_mut());
        wanted.assume_init()
    };
    let wait = move || {
        let mut signal = 0;
        // SAFETY: the set was initialised above, and the signals in it are blocked in every thread.
        if unsafe { libc::sigwait(&wanted, &mut signal) } == 0 {
            remove_unfinished();
            // SAFETY: lets this very signal through, so that the program ends by it, as whoever waits for it expects.
            unsafe {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &wanted, ptr::null_mut());
                libc::raise(signal);
            }
        }
    };
    if thread::Builder::new().name("signals".into()).spawn(wait).is_err() {
        // Without the thread signals must reach the program as ever.
        // SAFETY: the set was initialised above.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &wanted, ptr::null_mut()) };
    }
}

/// Elsewhere Ctrl-C alone is known.
#[cfg(not(unix))]
pub(crate) fn remove_unfinished_files() {
    let end = || {
        remove_unfinished();
        std::process::exit(130);
    };
    // Without the handler Ctrl-C ends the program as ever.
    drop(ctrlc::set_handler(end));
}
