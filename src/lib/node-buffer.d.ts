/**
 * Methods of Node's Buffer that its type package leaves out; they skip the encoding dispatch of `toString` and `write`.
 */
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string
    utf8Slice(start: number, end: number): string
    latin1Write(text: string, offset: number, length?: number): number
    utf8Write(text: string, offset: number, length?: number): number
  }
}

export {}
