/** The direct forms of latin-1 access to buffers: node has them since version 4, its types don't; half the cost of `toString`. */
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string
    latin1Write(text: string, offset: number): number
  }
}
export type Latin1 = 'latin1'
