//! Positions and health of the write-ahead log at one moment, for metrics and readiness.

/// Always `applied <= synced <= written`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// sequence number of the last record written to the log
    pub written: u64,
    /// last record covered by a completed fsync
    pub synced: u64,
    /// last record posted to the books
    pub applied: u64,
    /// age of the oldest unsynced record
    pub unsynced_ms: u64,
    /// records not yet posted
    pub backlog: usize,
    /// records are stored into a mapping of the log, instead of written
    pub mapped: bool,
    pub disk_low: bool,
    /// the data folder was deleted or replaced, so new holds are refused
    pub folder_lost: bool,
    /// an append failed within the last 5 s and none has succeeded since
    pub log_failing: bool,
    /// the last fsync failed
    pub sync_failing: bool,
    /// the backlog is full, so new holds are refused
    pub behind: bool,
    /// the last commit of the books failed
    pub books_failing: bool,
    /// rows deleted by retention since the start
    pub retention_rows: u64,
}
