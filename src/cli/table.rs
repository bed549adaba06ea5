//! Tables for people: numbers aligned on the decimal point, columns as wide as their widest cell. On a terminal, wide
//! columns are cut and then the least important ones are hidden until the table fits; a line names the hidden ones.

use crate::cli::style::{Style, Tone};

/// Width to which a flexible column is cut before a column is hidden.
const FLEXIBLE_MIN: usize = 18;
const GAP: usize = 2;

/// A cell with its emphasis.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn toned(tone: Tone, text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            tone,
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self.text.as_str(), "" | "-")
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::toned(Tone::Plain, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::toned(Tone::Plain, text)
    }
}

/// A column: its title, and its behaviour where the terminal is narrow.
#[derive(Clone, Debug)]
pub struct Column {
    title: String,
    is_number: bool,
    is_flexible: bool,
    is_sparse: bool,
    /// columns of the highest rank are hidden first; 0: never
    rank: u8,
}

impl Column {
    pub fn text(title: impl Into<String>) -> Column {
        Column {
            title: title.into(),
            is_number: false,
            is_flexible: false,
            is_sparse: false,
            rank: 0,
        }
    }

    /// Right-aligned on the decimal point.
    pub fn number(title: impl Into<String>) -> Column {
        Column {
            is_number: true,
            ..Column::text(title)
        }
    }

    /// May be cut on a narrow terminal.
    pub fn flexible(self) -> Column {
        Column {
            is_flexible: true,
            ..self
        }
    }

    /// May be hidden on a narrow terminal, the highest rank first.
    pub fn hidden_at(self, rank: u8) -> Column {
        Column { rank, ..self }
    }

    /// Left out if every cell is blank.
    pub fn sparse(self) -> Column {
        Column {
            is_sparse: true,
            ..self
        }
    }
}

/// Columns and rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    total: Option<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        Table {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            total: None,
        }
    }

    /// A table of texts without emphasis.
    pub fn of_texts(titles: &[&str], rows: Vec<Vec<String>>) -> Table {
        let mut table = Table::new(titles.iter().map(|title| Column::text(*title)));
        for row in rows {
            table.row(row.into_iter().map(Cell::from).collect());
        }
        table
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Last row, below a line.
    pub fn total(&mut self, cells: Vec<Cell>) {
        self.total = Some(cells);
    }

    pub fn render(&self, style: &Style) -> String {
        let widths = self.natural_widths();
        let layout = fit(&self.columns, widths, style.width);
        let titles: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::toned(Tone::Strong, column.title.clone()))
            .collect();
        let mut text = self.line(&titles, &layout, style);
        for row in &self.rows {
            text += &self.line(row, &layout, style);
        }
        if let Some(total) = &self.total {
            let rule = "─".repeat(layout.total());
            text += &format!("{}\n", style.paint(Tone::Dim, &rule));
            text += &self.line(total, &layout, style);
        }
        text + &self.hidden_note(&layout, style)
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<Cell>> {
        self.rows.iter().chain(&self.total)
    }

    /// Width of each column; `None`: a sparse column without content.
    fn natural_widths(&self) -> Vec<Option<Width>> {
        let width = |(at, column): (usize, &Column)| {
            let cells = || self.lines().filter_map(|line| line.get(at));
            if column.is_sparse && cells().all(Cell::is_blank) {
                return None;
            }
            let (mut whole, mut fraction) = (0, 0);
            for cell in cells() {
                let (one, other) = parts(column, &cell.text);
                whole = whole.max(one.chars().count());
                fraction = fraction.max(other.chars().count());
            }
            let title = column.title.chars().count();
            Some(Width {
                cells: title.max(whole + fraction),
                fraction,
            })
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn line(&self, cells: &[Cell], layout: &Layout, style: &Style) -> String {
        let mut text = String::new();
        let mut blanks = 0;
        for ((column, width), cell) in self.columns.iter().zip(&layout.widths).zip(cells) {
            let Some(width) = width else { continue };
            let shown = cut(&cell.text, width.cells);
            let (left, right) = padding(column, width, &shown);
            if !shown.is_empty() {
                text += &" ".repeat(blanks + left);
                text += &style.paint(cell.tone, &shown);
                blanks = right + GAP;
            } else {
                blanks += width.cells + GAP;
            }
        }
        text.push('\n');
        text
    }

    fn hidden_note(&self, layout: &Layout, style: &Style) -> String {
        if layout.hidden.is_empty() {
            return String::new();
        }
        let titles: Vec<String> = layout
            .hidden
            .iter()
            .map(|at| self.columns[*at].title.to_lowercase())
            .collect();
        let note = format!(
            "not shown: {} (a wider terminal, or --json)",
            titles.join(", ")
        );
        format!("{}\n", style.paint(Tone::Dim, &note))
    }
}

/// Width of a column, and of the part of it behind the decimal point.
#[derive(Clone, Copy, Debug)]
struct Width {
    cells: usize,
    fraction: usize,
}

/// Widths of the visible columns, and the hidden ones.
struct Layout {
    widths: Vec<Option<Width>>,
    hidden: Vec<usize>,
}

impl Layout {
    fn total(&self) -> usize {
        let visible = self.widths.iter().flatten();
        let cells: usize = visible.clone().map(|width| width.cells + GAP).sum();
        cells.saturating_sub(GAP)
    }
}

/// Cuts flexible columns, then hides columns, until the table fits.
fn fit(columns: &[Column], natural: Vec<Option<Width>>, bound: Option<usize>) -> Layout {
    let mut layout = Layout {
        widths: natural.clone(),
        hidden: Vec::new(),
    };
    let Some(bound) = bound else { return layout };
    loop {
        shrink(columns, &mut layout, bound);
        if layout.total() <= bound {
            return layout;
        }
        let hideable = |at: &usize| columns[*at].rank > 0 && layout.widths[*at].is_some();
        let next = (0..columns.len())
            .filter(hideable)
            .max_by_key(|at| columns[*at].rank);
        let Some(next) = next else { return layout };
        layout.hidden.push(next);
        layout.widths.clone_from(&natural);
        for at in &layout.hidden {
            layout.widths[*at] = None;
        }
    }
}

/// Cuts the widest flexible column as long as the table is too wide.
fn shrink(columns: &[Column], layout: &mut Layout, bound: usize) {
    loop {
        let over = layout.total().saturating_sub(bound);
        let widest = columns
            .iter()
            .zip(layout.widths.iter_mut())
            .filter(|(column, _)| column.is_flexible)
            .filter_map(|(column, width)| {
                let floor = column.title.chars().count().max(FLEXIBLE_MIN);
                let width = width.as_mut().filter(|width| width.cells > floor)?;
                Some(width)
            })
            .max_by_key(|width| width.cells);
        match widest {
            Some(width) if over > 0 => width.cells -= 1,
            _ => return,
        }
    }
}

/// Parts of a cell before and behind the decimal point; a text is one part.
fn parts<'a>(column: &Column, text: &'a str) -> (&'a str, &'a str) {
    match text.find('.') {
        Some(point) if column.is_number => text.split_at(point),
        _ => (text, ""),
    }
}

/// Spaces on the left and on the right of a cell.
fn padding(column: &Column, width: &Width, text: &str) -> (usize, usize) {
    let free = width.cells.saturating_sub(text.chars().count());
    if !column.is_number {
        return (0, free);
    }
    if text == column.title {
        return (free, 0);
    }
    let fraction = parts(column, text).1.chars().count();
    let right = width.fraction.saturating_sub(fraction).min(free);
    (free - right, right)
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(width: usize) -> Style {
        Style {
            width: Some(width),
            ..Style::default()
        }
    }

    fn costs() -> Table {
        let mut table = Table::new([
            Column::text("TEAM").flexible(),
            Column::number("COST"),
            Column::text("HELD").sparse(),
            Column::text("CREATED").hidden_at(1),
        ]);
        for (team, cost) in [
            ("engineering and research", "$1,204.50"),
            ("ops", "$0.00011"),
        ] {
            table.row(vec![team.into(), cost.into(), "-".into(), "1 Dec".into()]);
        }
        table.total(vec![
            "total".into(),
            "$1,204.50".into(),
            "".into(),
            "".into(),
        ]);
        table
    }

    #[test]
    fn numbers_are_aligned_on_the_decimal_point() {
        let expected = "\
TEAM                              COST  CREATED
engineering and research  $1,204.50     1 Dec
ops                           $0.00011  1 Dec
───────────────────────────────────────────────
total                     $1,204.50
";
        assert_eq!(costs().render(&Style::default()), expected);
    }

    #[test]
    fn narrow_terminal_cuts_wide_columns_then_hides_the_least_important() {
        let cut = costs().render(&narrow(42));
        assert!(
            cut.contains("engineering and re…  ") && cut.contains("CREATED"),
            "{cut}"
        );
        assert!(cut.lines().all(|line| line.chars().count() <= 42), "{cut}");
        let hidden = costs().render(&narrow(36));
        assert!(
            hidden.ends_with("not shown: created (a wider terminal, or --json)\n"),
            "{hidden}"
        );
    }

    #[test]
    fn colour_does_not_change_the_columns() {
        let style = Style {
            color: true,
            ..Style::default()
        };
        let mut table = Table::new([Column::text("STATE"), Column::text("KEY")]);
        table.row(vec![Cell::toned(Tone::Bad, "off"), "laptop".into()]);
        let text = table.render(&style);
        assert!(text.contains("\x1b[31moff\x1b[0m    laptop"), "{text:?}");
    }
}
