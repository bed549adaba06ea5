//! Whether a caller may do what it asks: pure checks, one file each. They read what they are given and change nothing.

pub mod access;
