//! Who says where members lie: a program's own debugging information where it has any, else the tables. Where both do, the program is
//! believed: it was not written for us, and its compiler need not be one that the tables are of.

use std::fmt;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program; of this release there is no row in the table.
    Program,
    /// The table; the program has no debugging information, or not of all that is needed.
    Table,
    /// Both, and the same.
    Both,
    /// The program, and the table says something else.
    ProgramUnlikeTable,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "its debugging information says",
            Self::Table => "the table says",
            Self::Both => "its debugging information and the table say",
            Self::ProgramUnlikeTable => {
                "its debugging information says, which is not what the table says"
            }
        })
    }
}

/// Of a layout that the program tells, and one that the table has, the one to go by.
pub(super) fn choose<T: PartialEq>(told: Option<T>, listed: Option<T>) -> Option<(T, Source)> {
    match (told, listed) {
        (Some(told), None) => Some((told, Source::Program)),
        (Some(told), Some(listed)) if told == listed => Some((told, Source::Both)),
        (Some(told), Some(_)) => Some((told, Source::ProgramUnlikeTable)),
        (None, listed) => Some((listed?, Source::Table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_believed() {
        assert_eq!(choose(Some(1), None), Some((1, Source::Program)));
        assert_eq!(choose(Some(1), Some(1)), Some((1, Source::Both)));
        assert_eq!(choose(Some(1), Some(2)), Some((1, Source::ProgramUnlikeTable)));
        assert_eq!(choose(None, Some(2)), Some((2, Source::Table)));
        assert_eq!(choose::<u64>(None, None), None);
    }
}
