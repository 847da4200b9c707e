/** Suggestions for words that are not known. */

/** Ends a sentence with `; did you mean "run"?` if a choice is similar, else with a full stop. */
export function suggest(text: string, choices: readonly string[]): string {
  const near = choices
    .map((choice) => ({ choice, distance: editDistance(text, choice) }))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near === undefined || near.distance > Math.max(1, Math.floor(near.choice.length / 3))) return '.'
  return `; did you mean "${near.choice}"?`
}

/** Damerau-Levenshtein distance: insertions, deletions, replacements and swaps of adjacent characters. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const [row, above] = [[i], rows[i - 1]!]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const least = Math.min(above[j]! + 1, row[j - 1]! + 1, replaced)
      row.push(swapped ? Math.min(least, rows[i - 2]![j - 2]! + 1) : least)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
