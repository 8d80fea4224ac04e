//! What the system may do to a process: signals, limits, no memory left. None of it may end a run without a word, or leave
//! half a file.

use ncproj::error::{MEMORY_HINT, TOO_LITTLE_MEMORY};
use ncproj::{inputs, partial, resume};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// Rust ends a program by SIGABRT where there is no memory; this one says so.
struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

// SAFETY: all is left to the system's allocator; where it gives nothing, the process ends.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        given(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(old, layout) }
    }
}

#[inline]
fn given(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() {
        out_of_memory(size);
    }
    memory
}

/// Says so without memory of its own, and ends.
#[cold]
fn out_of_memory(size: usize) -> ! {
    static BY: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: asks for this thread's own name.
    let me = unsafe { libc::pthread_self() } as usize;
    match BY.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        // Once more on the way out.
        Err(by) if by == me => leave(1),
        Err(_) => loop {
            // SAFETY: waits until the other has ended the process.
            unsafe { libc::pause() };
        },
    }
    let mut text = Line { bytes: [0; 512], len: 0 };
    let _ = write!(text, "error: {TOO_LITTLE_MEMORY}");
    if size > 0 {
        let _ = write!(text, ": {size} bytes more are not to be had");
    }
    let _ = write!(text, "\n\nhint: {MEMORY_HINT}\n");
    text.say();
    partial::remove_all_now();
    leave(1)
}

struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    /// To stderr, past its lock, which a thread that waits for its reader may hold; not where there is no room for it.
    fn say(&self) {
        let mut stderr = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
        // SAFETY: the struct and the bytes are there.
        unsafe {
            if libc::poll(&mut stderr, 1, 0) == 1 && stderr.revents & libc::POLLOUT != 0 {
                libc::write(2, self.bytes.as_ptr().cast(), self.len);
            }
        }
    }
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.len() - self.len;
        let n = text.len().min(room);
        self.bytes[self.len..self.len + n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

fn leave(code: i32) -> ! {
    // SAFETY: nothing of ours is left to be done, and the handlers of the libraries could wait for a thread that has stopped.
    unsafe { libc::_exit(code) }
}

/// Runs `main` so that what the system does to it is said.
pub fn run(main: fn() -> ExitCode) -> ExitCode {
    inputs::watch();
    allow_files();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |about| {
        // How the libraries, and Rust's own for a thread's stack, say that there is no memory.
        let payload = about.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let said = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("");
        if ["out of memory", "failed to allocate", "failed to set up alternative stack"]
            .iter()
            .any(|t| said.contains(t))
        {
            out_of_memory(0);
        }
        usual(about);
    }));
    hear_signals();
    // The main thread's stack may be limited (`ulimit -s`), a thread's own is what is asked for.
    if small_stack()
        && let Ok(thread) = Builder::new().name("main".into()).stack_size(8 << 20).spawn(main)
    {
        return thread.join().unwrap_or(ExitCode::from(101));
    }
    main()
}

fn limit(of: libc::__rlimit_resource_t) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the struct that is passed.
    (unsafe { libc::getrlimit(of, &mut limit) } == 0).then_some(limit)
}

fn small_stack() -> bool {
    limit(libc::RLIMIT_STACK).is_some_and(|l| l.rlim_cur < 4 << 20)
}

/// As many open files as the system allows, not only as many as a shell begins with.
fn allow_files() {
    if let Some(mut files) = limit(libc::RLIMIT_NOFILE) {
        files.rlim_cur = files.rlim_max;
        // SAFETY: reads the struct that is passed.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &files) };
    }
}

/// A signal that ends the run removes what is unfinished first. A thread of its own waits for it: a handler could not do that
/// safely, and a pipe to wake one would take two of the files that may be few.
fn hear_signals() {
    let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGXCPU];
    // SAFETY: sets of signals are plain memory that `sigemptyset` fills; `sigaction` only asks here.
    let set = unsafe {
        // A file that grows beyond `ulimit -f` is an error that can be said.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in ends {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut now);
            // `nohup` wants it ignored.
            if now.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(&mut set, signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    let wait = move || {
        let mut signal = 0;
        // SAFETY: waits for the signals of the set, which all threads hold back.
        while unsafe { libc::sigwait(&set, &mut signal) } != 0 {}
        partial::remove_all();
        let what = match signal {
            libc::SIGINT => "interrupted (SIGINT)",
            libc::SIGTERM => "told to stop (SIGTERM)",
            libc::SIGHUP => "its terminal went away (SIGHUP)",
            libc::SIGXCPU => "the seconds that are allowed here (`ulimit -t`) are used up",
            _ => "told to quit (SIGQUIT)",
        };
        let hint = match resume::can_go_on() {
            true => "the same command goes on from what is finished",
            false => "the unfinished output was removed",
        };
        let mut text = Line { bytes: [0; 512], len: 0 };
        let _ = writeln!(text, "\nerror: {what}\n\nhint: {hint}");
        text.say();
        leave(if signal == libc::SIGXCPU { 1 } else { 128 + signal });
    };
    if Builder::new().stack_size(128 << 10).spawn(wait).is_err() {
        // Then the system's own way; the next run removes what is left.
        // SAFETY: undoes what was done above.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
    }
}
