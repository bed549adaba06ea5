//! Injected disk errors: a fault applies to one kind of operation, for a range of operations.

use std::io;

/// Disk error to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC on every write
    NoSpace,
    /// EROFS on every change
    ReadOnly,
    /// EIO on every operation
    BadDisk,
    /// ENOSPC in the middle of a write
    ShortWrite,
    /// EIO on sync; the unsynced writes are dropped
    FailingSync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Change,
    Sync,
}

/// Fault between two numbered operations. It stays active past the end until it hit one operation, because none in the
/// range may be of its kind.
#[derive(Debug)]
pub struct ScheduledFault {
    pub kind: Fault,
    from: u64,
    to: u64,
    operations: u64,
    pub hits: u64,
}

impl ScheduledFault {
    /// Active from the `kth` operation from now on, for `length` operations.
    pub fn new(fault: Fault, kth: u64, length: u64) -> ScheduledFault {
        ScheduledFault {
            kind: fault,
            from: kth,
            to: kth + length,
            operations: 0,
            hits: 0,
        }
    }

    /// Counts one operation; an error if the fault applies to it.
    pub fn check(&mut self, operation: Operation) -> io::Result<()> {
        if operation != Operation::Read {
            self.operations += 1;
        }
        let number = match (self.kind, operation) {
            (Fault::NoSpace | Fault::ShortWrite, Operation::Write) => 28,
            (Fault::ReadOnly, Operation::Write | Operation::Change) => 30,
            (Fault::BadDisk, _) | (Fault::FailingSync, Operation::Sync) => 5,
            _ => return Ok(()),
        };
        let is_over = self.operations >= self.to && self.hits > 0;
        if self.operations < self.from || is_over {
            return Ok(());
        }
        self.hits += 1;
        Err(io::Error::from_raw_os_error(number))
    }
}
