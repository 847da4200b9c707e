/** Cuts a YAML stream into pieces that can be parsed, remembered and located each for itself. */

export interface Chunk {
  readonly text: string
  /** Lines of the file before the first of `text`. */
  readonly line: number
}

/** Lists below this size are parsed whole: cutting them saves nothing. */
const SPLIT_LIST_BYTES = 16_384

/**
 * A line that begins with `---` ends a document wherever it stands, also within a block scalar or a quoted one (YAML
 * 1.2.2, c-forbidden), so cutting there is exact. Only directives belong to the document after the next such line: a
 * stream with them stays whole.
 */
export function split(text: string): Chunk[] {
  if (/^%/m.test(text)) return [{ text, line: 0 }]
  const chunks: Chunk[] = []
  let line = 0
  for (const piece of text.split(/^(?=---(?:[ \t\r\n]|$))/m)) {
    const chunk = { text: piece, line }
    if (piece.length >= SPLIT_LIST_BYTES) chunks.push(...splitList(chunk))
    else chunks.push(chunk)
    line += countLines(piece)
  }
  return chunks
}

/**
 * Cuts a large `kind: List` in block style into its items. All content of an item is indented deeper than its dash
 * (YAML 1.2.2 §8.2.1), so a dash in the items' own column can only begin the next one.
 */
function splitList(chunk: Chunk): Chunk[] {
  const { text } = chunk
  const head = /^items:[ \t]*\r?\n([ \t]*#.*\r?\n|[ \t]*\r?\n)*( *)-(?=[ \r\n])/m.exec(text)
  // An anchor may be used in another item.
  if (head === null || !/^kind:[ \t]*["']?List\b/m.test(text) || /(^|[\s[{,:])[&*][\w-]/m.test(text)) return [chunk]
  const column = head[2]!.length
  const lines = text.split(/(?<=\n)/)
  const first = countLines(text.slice(0, head.index + head[0].length))
  const pieces: Chunk[] = []
  let end = lines.length
  let start = first
  const cut = (to: number) => {
    const item = lines.slice(start, to).join('')
    // The dash becomes a space: columns stay, and the mapping after it stands for itself.
    const text = `${item.slice(0, column)} ${item.slice(column + 1)}`
    pieces.push({ text, line: chunk.line + start })
  }
  for (let i = first + 1; i < lines.length; i++) {
    const indent = indentOf(lines[i]!)
    if (indent === -1 || indent > column) continue
    const dash = indent === column && /^ *-(?=[ \r\n])/.test(lines[i]!)
    // Neither an item nor a key beside `items`: not valid, and the parser says it best when it sees all of it.
    if (!dash && indent !== 0) return [chunk]
    cut(i)
    start = i
    if (!dash) {
      end = i
      break
    }
  }
  if (end === lines.length) cut(end)
  const frame = [...lines.slice(0, first), ...Array(end - first).fill('\n'), ...lines.slice(end)]
  // What is left, an `items:` without a value, says the kind and must be valid too.
  return [{ text: frame.join(''), line: chunk.line }, ...pieces]
}

/**
 * Columns before the first character; -1 for a line that is empty or a comment, which belongs to whatever is around it.
 */
function indentOf(line: string): number {
  const match = /^( *)[^ \r\n#]/.exec(line)
  return match === null ? -1 : match[1]!.length
}

export function countLines(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++
  return count
}
