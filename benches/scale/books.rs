//! What the tables of the books weigh: reads the file as redb lays it out, while nobody has it open.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableHandle};

/// Pages that tables take, and their rows.
#[derive(Default)]
pub struct Part {
    /// whole pages, with what is free in them
    pub bytes: u64,
    /// what the rows themselves take
    pub stored: u64,
    pub rows: u64,
}

pub struct Weight {
    pub requests: u64,
    pub records: Part,
    pub indexes: Part,
    pub rollups: Part,
    pub other: Part,
    /// the file's length, with what redb keeps ready
    pub file: u64,
}

impl Weight {
    pub fn of(data: &Path) -> Weight {
        let file = super::file(data);
        let length = std::fs::metadata(&file).expect("the books are there").len();
        let database = Database::builder()
            .set_cache_size(32 << 20)
            .open(&file)
            .expect("the books open");
        let read = database.begin_read().expect("a read");
        let (records, indexes, rollups, other) = Default::default();
        let mut weight = Weight {
            requests: 0,
            records,
            indexes,
            rollups,
            other,
            file: length,
        };
        for handle in read.list_tables().expect("a list of tables") {
            let name = handle.name().to_owned();
            let table = read.open_untyped_table(handle).expect("a table");
            let stats = table.stats().expect("figures of a table");
            let part = match name.as_str() {
                "records" => &mut weight.records,
                "records_of_key" | "records_not_ok" => &mut weight.indexes,
                "hours" | "days" => &mut weight.rollups,
                _ => &mut weight.other,
            };
            part.bytes += stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
            part.stored += stats.stored_bytes();
            part.rows += table.len().expect("the length of a table");
        }
        weight.requests = weight.records.rows;
        weight
    }
}
