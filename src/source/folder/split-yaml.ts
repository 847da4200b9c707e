/** Splits a YAML stream into chunks that can be parsed, cached and located independently. */

export interface Chunk {
  readonly text: string
  /** Number of lines before `text` in the file. */
  readonly line: number
}

/** Smaller lists are parsed as a whole: splitting them saves nothing. */
const SPLIT_LIST_BYTES = 16_384

/**
 * Splits a stream at lines that begin with `---`, which end a document also within a block or quoted scalar (YAML
 * 1.2.2, c-forbidden). Directives belong to the document after the next such line: a stream with directives stays
 * whole.
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
 * Splits a large `kind: List` in block style into its items. The content of an item is indented deeper than its dash
 * (YAML 1.2.2 §8.2.1), so a dash in the column of the items always begins the next item.
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
    // The dash becomes a space: columns are unchanged, and the mapping after it becomes a document.
    const text = `${item.slice(0, column)} ${item.slice(column + 1)}`
    pieces.push({ text, line: chunk.line + start })
  }
  for (let i = first + 1; i < lines.length; i++) {
    const indent = indentOf(lines[i]!)
    if (indent === -1 || indent > column) continue
    const dash = indent === column && /^ *-(?=[ \r\n])/.test(lines[i]!)
    // Neither an item nor a key beside `items`: invalid, and the parser reports it best with the whole text.
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
  // The rest, with an `items:` without a value, contains the kind and must be valid too.
  return [{ text: frame.join(''), line: chunk.line }, ...pieces]
}

/**
 * Returns the indentation; -1 for an empty line or a comment, which belong to the surrounding lines.
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
