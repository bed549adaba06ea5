//! One core for a bench: generator, upstream and subject take turns on it. On several, the scheduler decides anew in each turn who stands
//! beside whom, and some wake-ups go from one core to another: turns of floor-work took 20.8 to 30.9 µs on two free cores, and take 20.2 to
//! 22.7 on one, 500 requests a second 72 µs on a core of its own and 45 on the shared one.

use std::mem;

/// Binds this thread, and all processes that it starts, to the last core that it may use: most interrupts come to the first.
#[allow(unsafe_code, reason = "sched_setaffinity")]
pub fn bind() {
    // SAFETY: a set is plain bits, of which zeros are the empty one, and the calls are told its size; the number is below it
    let failed = unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        let size = mem::size_of_val(&allowed);
        assert_eq!(libc::sched_getaffinity(0, size, &mut allowed), 0);
        let mut cores = (0..libc::CPU_SETSIZE as usize).rev();
        let last = cores.find(|core| libc::CPU_ISSET(*core, &allowed));
        let mut one = mem::zeroed();
        libc::CPU_SET(last.expect("a core"), &mut one);
        libc::sched_setaffinity(0, size, &one)
    };
    assert_eq!(failed, 0, "a thread can be bound to a core that it may use");
}
