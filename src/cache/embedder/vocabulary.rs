//! Vocabulary of the model: words and parts of words (`##ing`) with their ids, looked up in place in the data file.

use super::layout::Layout;

/// Words sorted by their bytes; all parts stay in the executable.
pub struct Vocabulary {
    /// End of each word in `text`, u32.
    ends: &'static [[u8; 4]],
    /// Id of each word, u16.
    ids: &'static [[u8; 2]],
    text: &'static [u8],
}

impl Vocabulary {
    pub fn read(file: &mut Layout) -> Vocabulary {
        let words = file.number();
        let text_bytes = file.number();
        Vocabulary {
            ends: file.bytes(words * 4).as_chunks().0,
            ids: file.bytes(words * 2).as_chunks().0,
            text: file.bytes(text_bytes),
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Id of a word, or of a part that begins with `##`.
    pub fn id(&self, word: &str) -> Option<u16> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.word(middle).cmp(word.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(u16::from_le_bytes(self.ids[middle])),
            }
        }
        None
    }

    /// Word of the smallest id that is accepted: ids are in the order of frequency.
    pub fn most_frequent(&self, is_accepted: impl Fn(&str) -> bool) -> Option<&'static str> {
        let words = (0..self.len()).filter_map(|index| {
            let word = std::str::from_utf8(self.word(index)).ok()?;
            is_accepted(word).then(|| (u16::from_le_bytes(self.ids[index]), word))
        });
        words.min_by_key(|(id, _)| *id).map(|(_, word)| word)
    }

    fn word(&self, index: usize) -> &'static [u8] {
        let end = |index: usize| u32::from_le_bytes(self.ends[index]) as usize;
        let start = index.checked_sub(1).map_or(0, end);
        &self.text[start..end(index)]
    }
}
