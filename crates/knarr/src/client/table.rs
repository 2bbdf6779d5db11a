//! Tables as kubectl prints them: columns at least six wide, three spaces between, nothing after the last.

const GAP: usize = 3;
const LEAST_WIDTH: usize = 6;

/// The table as text, header first. Pass no header to leave it out.
pub fn render(header: &[String], rows: &[Vec<String>]) -> String {
    let widths = widths(header, rows);
    let lines = (!header.is_empty()).then(|| line(header, &widths)).into_iter().chain(rows.iter().map(|row| line(row, &widths)));
    lines.map(|line| line + "\n").collect()
}

pub fn widths(header: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let columns = header.len().max(rows.iter().map(Vec::len).max().unwrap_or(0));
    (0..columns)
        .map(|i| {
            let longest = std::iter::once(header)
                .chain(rows.iter().map(Vec::as_slice))
                .filter_map(|row| row.get(i))
                .map(|cell| cell.chars().count())
                .max();
            (longest.unwrap_or(0) + GAP).max(LEAST_WIDTH)
        })
        .collect()
}

pub fn line(cells: &[String], widths: &[usize]) -> String {
    let mut said = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if i + 1 == cells.len() {
            said.push_str(cell);
        } else {
            said.push_str(&format!("{cell:<width$}"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_as_kubectl_does() {
        let text = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            render(&text(&["NAME", "READY", "AGE"]), &[text(&["web-1", "1/1", "5s"]), text(&["b", "0/1", "12m"])]),
            "NAME    READY   AGE\nweb-1   1/1     5s\nb       0/1     12m\n"
        );
        assert_eq!(render(&text(&["A", "B"]), &[]), "A     B\n");
    }
}
