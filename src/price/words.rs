//! Costs in words, as an explanation shows them. Tests only: the words are those of `domain::cost_line`.

mod tests;
