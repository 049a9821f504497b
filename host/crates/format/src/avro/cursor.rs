//! The values in a block, one after the other.
//!
//! Owns what each record costs: values that take no bytes cost something, too, so that a few bytes that claim to be
//! many values end at a limit.

/// Deepest nesting of a value, with those that are skipped.
const DEPTH_MAX: usize = 64;

/// Bytes that a value costs at least that is kept, and one that is skipped.
pub(super) const KEPT_BYTES: u64 = 8;
pub(super) const SKIPPED_BYTES: u64 = 1;

/// Why a record cannot be read.
#[derive(Debug, PartialEq)]
pub(super) enum Broken {
    /// It costs more than a record may.
    TooLong,
    /// It makes no sense, for this reason.
    Damaged(String),
}

impl From<&str> for Broken {
    fn from(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

/// A position in a block.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Number of bytes that may still be spent on the record.
    budget: u64,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, budget: u64::MAX, depth: 0 }
    }

    /// Begins a record that may cost this many bytes.
    pub(super) fn begin_record(&mut self, bytes_max: u64) {
        self.budget = bytes_max;
    }

    /// Returns what may still be spent on the record.
    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes back to where this was the rest.
    pub(super) fn go_to(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// Spends bytes on the record.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), Broken> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Broken::TooLong)?;
        Ok(())
    }

    /// Reads what is nested in a value.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Broken>) -> Result<T, Broken> {
        if self.depth == DEPTH_MAX {
            return Err(Broken::Damaged(format!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Reads this many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or("it goes on behind the end of its block")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or("it goes on behind the end of its block")?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.long()?).map_err(|_| "it has bytes of a negative length")?;
        let bytes = self.take(length)?;
        self.spend(length as u64)?;
        Ok(bytes)
    }

    pub(super) fn long(&mut self) -> Result<i64, Broken> {
        let (mut bits, mut shift) = (0_u64, 0);
        loop {
            let [byte] = self.array::<1>()?;
            let part = u64::from(byte & 0x7F);
            if shift == 63 && part > 1 {
                return Err("a number in it has more than 64 bits".into());
            }
            bits |= part << shift;
            if byte < 0x80 {
                return Ok((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()));
            }
            shift += 7;
            if shift > 63 {
                return Err("a number in it has more than 64 bits".into());
            }
        }
    }

    pub(super) fn int(&mut self) -> Result<i32, Broken> {
        i32::try_from(self.long()?).map_err(|_| "a number in it has more than 32 bits".into())
    }

    /// Reads the number of one of so many choices.
    pub(super) fn choice(&mut self, choices: usize) -> Result<usize, Broken> {
        let number = self.long()?;
        let choice = usize::try_from(number).ok().filter(|choice| *choice < choices);
        choice.ok_or_else(|| Broken::Damaged(format!("it has choice {number} of {choices}")))
    }

    /// Reads a boolean.
    pub(super) fn boolean(&mut self) -> Result<bool, Broken> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Broken::Damaged(format!("a boolean in it is {other}"))),
        }
    }

    /// Reads the items of an array or a map, in their parts. Returns how many there were.
    pub(super) fn items(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), Broken>) -> Result<usize, Broken> {
        let mut items = 0;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(items);
            }
            if count < 0 {
                // The part's length in bytes, for those who skip it.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                read(self)?;
                items += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_are_read() {
        for (bytes, number) in [
            (&b"\x00"[..], 0),
            (b"\x01", -1),
            (b"\x02", 1),
            (b"\x80\x01", 64),
            (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", i64::MAX),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", i64::MIN),
        ] {
            assert_eq!(Cursor::new(bytes).long(), Ok(number));
        }
        let more = Err("a number in it has more than 64 bits".into());
        assert_eq!(Cursor::new(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02").long(), more);
        assert_eq!(Cursor::new(&[0x80; 20]).long(), more);
        assert!(Cursor::new(b"\xff").long().is_err());
        assert!(Cursor::new(b"\xfe\xff\xff\xff\x7f").int().is_err());
    }

    #[test]
    fn values_without_bytes_end_at_the_limit_of_a_record() {
        let many = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let mut cursor = Cursor::new(many);
        cursor.begin_record(1000);
        assert_eq!(cursor.items(|cursor| cursor.spend(1)), Err(Broken::TooLong));
    }
}
