//! Sizes of the tables of the accounting database, read through redb while no server has the file open.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableHandle};

/// Size of a group of tables.
#[derive(Default)]
pub struct TableSize {
    /// whole pages, free space included
    pub page_bytes: u64,
    /// rows only
    pub row_bytes: u64,
    pub rows: u64,
}

/// Size of the accounting database.
pub struct BooksSize {
    pub requests: u64,
    pub records: TableSize,
    pub indexes: TableSize,
    pub rollups: TableSize,
    pub other: TableSize,
    /// length of the file, preallocated space included
    pub file_bytes: u64,
}

impl BooksSize {
    pub fn of(data: &Path) -> BooksSize {
        let file = super::books_path(data);
        let length = std::fs::metadata(&file).expect("the books are there").len();
        let database = Database::builder()
            .set_cache_size(32 << 20)
            .open(&file)
            .expect("the books open");
        let read = database.begin_read().expect("a read");
        let (records, indexes, rollups, other) = Default::default();
        let mut size = BooksSize {
            requests: 0,
            records,
            indexes,
            rollups,
            other,
            file_bytes: length,
        };
        for handle in read.list_tables().expect("a list of tables") {
            let name = handle.name().to_owned();
            let table = read.open_untyped_table(handle).expect("a table");
            let stats = table.stats().expect("statistics of a table");
            let part = match name.as_str() {
                "records" => &mut size.records,
                "records_of_key" | "records_not_ok" => &mut size.indexes,
                "hours" | "days" => &mut size.rollups,
                _ => &mut size.other,
            };
            part.page_bytes +=
                stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
            part.row_bytes += stats.stored_bytes();
            part.rows += table.len().expect("the length of a table");
        }
        size.requests = size.records.rows;
        size
    }
}
