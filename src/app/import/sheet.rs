//! A spreadsheet as text: its encoding, its separator, its quotes. What is wrong with the file as a whole is said with its first bad line, before
//! anybody looks at a row.

use csv::{ReaderBuilder, StringRecord};
use encoding_rs::{Encoding, UTF_8};

use crate::error::{Error, Result};

/// A file of rows under a header.
#[derive(Debug)]
pub(super) struct Sheet {
    /// Names of the columns, in lower case.
    pub(super) header: Vec<String>,
    /// The rows, without blank ones.
    pub(super) rows: Vec<Row>,
}

/// One row; it has as many cells as the header.
#[derive(Debug)]
pub(super) struct Row {
    /// Line of the file on which it begins, from 1.
    pub(super) line: u64,
    cells: StringRecord,
}

impl Row {
    /// The cell of a column, without blanks around it.
    pub(super) fn cell(&self, column: usize) -> &str {
        self.cells.get(column).unwrap_or_default().trim()
    }
}

impl Sheet {
    /// Reads a file: comma, semicolon or tab between the cells, quotes around cells that hold such a character, with or without a byte order
    /// mark, any line ends.
    ///
    /// # Errors
    /// [`Error::BadInput`] with the first bad line.
    pub(super) fn read(file: &[u8], encoding: Option<&str>) -> Result<Self> {
        let text = decode(file, encoding)?;
        if text.trim().is_empty() {
            return Err(Error::BadInput("The file is empty; its first line has to name the columns.".to_owned()));
        }
        let separator = separator(&text);
        check_quotes(&text, separator)?;
        let mut reader = ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(text.as_bytes());
        let unreadable = |error: csv::Error| Error::BadInput(format!("The file is no CSV file: {error}."));
        let header: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(|name| name.trim().to_lowercase()).collect();
        if let Some(twice) = header.iter().enumerate().find(|(index, name)| !name.is_empty() && header[..*index].contains(name)) {
            return Err(Error::BadInput(format!("The first line names the column {:?} twice; name each column once.", twice.1)));
        }
        let mut rows = Vec::new();
        let mut lines = Lines::new(&text);
        for record in reader.records() {
            let cells = record.map_err(unreadable)?;
            let line = lines.of_row(cells.position().map_or(0, csv::Position::byte));
            if cells.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            if cells.len() != header.len() {
                return Err(Error::BadInput(format!(
                    "Line {line} has {} cells, but the first line names {} columns; a separator or a quote is missing, or there is one too many.",
                    cells.len(),
                    header.len()
                )));
            }
            rows.push(Row { line, cells });
        }
        Ok(Self { header, rows })
    }
}

/// Counts lines up to places that come in ascending order. (The reader's own count begins a row before the blank lines in front of it.)
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), counted: 0, line: 1 }
    }

    /// The line of the first character at or after `byte` that is no line end.
    fn of_row(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(self.text.len()).min(self.text.len());
        while let Some(found) = self.text.get(self.counted) {
            if self.counted >= byte && !matches!(found, b'\n' | b'\r') {
                break;
            }
            self.line += u64::from(*found == b'\n');
            self.counted += 1;
        }
        self.line
    }
}

/// The file as text, without its byte order mark.
fn decode(file: &[u8], encoding: Option<&str>) -> Result<String> {
    if file.starts_with(&[0xFF, 0xFE]) || file.starts_with(&[0xFE, 0xFF]) {
        return Err(Error::BadInput("The file is in UTF-16; save it as UTF-8.".to_owned()));
    }
    let encoding = match encoding {
        None => UTF_8,
        Some(label) => Encoding::for_label(label.as_bytes()).filter(|encoding| encoding.is_ascii_compatible()).ok_or_else(|| {
            Error::BadInput(format!("{label:?} is no encoding that can be read; use utf-8 or, for example, windows-1250."))
        })?,
    };
    let bytes = file.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(file);
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        return Ok(text.into_owned());
    }
    // A line end is one byte in every encoding that gets here, so the first line that does not decode is the bad one.
    let bad =
        bytes.split(|byte| *byte == b'\n').position(|line| encoding.decode_without_bom_handling_and_without_replacement(line).is_none());
    let line = bad.unwrap_or_default() + 1;
    Err(Error::BadInput(format!("Line {line} is not in {}; save the file as UTF-8, or name the encoding that it is in.", encoding.name())))
}

/// What stands between the cells: whichever of the three is most frequent in the first line, outside of quotes.
fn separator(text: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in text.trim_start().bytes().take_while(|byte| *byte != b'\n') {
        quoted ^= byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| *separator == byte && !quoted) {
            *count += 1;
        }
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// Quotes come in pairs around whole cells; inside of one, two of them mean one. The CSV reader would take a lone one for text, or read the
/// rest of the file as one cell.
fn check_quotes(text: &str, separator: u8) -> Result<()> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Place {
        CellStart,
        Plain,
        Quoted,
        AfterQuote,
    }
    let alone = |line: u64| {
        Err(Error::BadInput(format!(
            "Line {line} has a lone quote; put quotes around the whole cell, and write each quote inside of it twice."
        )))
    };
    let (mut place, mut line, mut opened) = (Place::CellStart, 1, 1);
    for byte in text.bytes() {
        let ends_cell = byte == separator || byte == b'\n' || byte == b'\r';
        place = match (place, byte) {
            (Place::CellStart, b'"') => {
                opened = line;
                Place::Quoted
            }
            (Place::Plain, b'"') => return alone(line),
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::AfterQuote, b'"') => Place::Quoted,
            (Place::AfterQuote, _) if !ends_cell => return alone(line),
            _ if ends_cell => Place::CellStart,
            _ => Place::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    if place == Place::Quoted { alone(opened) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Vec<String>)> {
        let sheet = Sheet::read(text.as_bytes(), None).expect("a sheet");
        sheet.rows.iter().map(|row| (row.line, (0..sheet.header.len()).map(|column| row.cell(column).to_owned()).collect())).collect()
    }

    fn refused(file: &[u8], encoding: Option<&str>) -> String {
        match Sheet::read(file, encoding) {
            Err(Error::BadInput(message)) => message,
            other => panic!("it was not refused: {other:?}"),
        }
    }

    /// c33: byte order mark, separators, line ends, quotes and blank lines, all the same rows.
    #[test]
    fn c33_separators_and_line_ends_make_no_difference() {
        for separator in [",", ";", "\t"] {
            for end in ["\n", "\r\n"] {
                let text = format!(
                    "\u{feff}key{separator}title{end}1{separator}\"Bo{separator} \"\"Jr.\"\"\"{end}{end}2{separator}Ann{end}{separator}{end}"
                );
                let expected = [(2, vec!["1".to_owned(), format!("Bo{separator} \"Jr.\"")]), (4, vec!["2".to_owned(), "Ann".to_owned()])];
                assert_eq!(read(&text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn rows_know_the_line_that_they_begin_on() {
        assert_eq!(
            read("key,title\n1,\"two\nlines\"\n2,x"),
            [(2, vec!["1".to_owned(), "two\nlines".to_owned()]), (4, vec!["2".to_owned(), "x".to_owned()]),]
        );
    }

    #[test]
    fn encodings_other_than_utf8_are_named() {
        let czech = b"key,title\n1,P\xf8\xedb\xechy\n";
        assert!(refused(czech, None).starts_with("Line 2 is not in UTF-8"));
        let sheet = Sheet::read(czech, Some("Windows-1250")).expect("a sheet");
        assert_eq!(sheet.rows[0].cell(1), "Příběhy");
        assert!(refused(czech, Some("klingon")).contains("klingon"));
        assert!(refused(b"\xff\xfek\0e\0y\0", None).contains("UTF-16"));
    }

    #[test]
    fn broken_files_are_refused_with_their_first_bad_line() {
        for (text, expected) in [
            ("", "is empty"),
            (" \n\n", "is empty"),
            ("key,title\n1,\"open\n2,x\n", "Line 2 has a lone quote"),
            ("key,title\n1,x\n2,a\"b\n", "Line 3 has a lone quote"),
            ("key,title\n1,\"a\"b\n", "Line 2 has a lone quote"),
            ("key,title\n1,x\n2\n", "Line 3 has 1 cells"),
            ("key,title\n1,x,y\n", "Line 2 has 3 cells"),
            ("key,Key,title\n1,2,x\n", "twice"),
        ] {
            let message = refused(text.as_bytes(), None);
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
