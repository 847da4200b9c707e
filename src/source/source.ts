import type { Kind } from '../api/kinds.ts'
import type { Milliseconds } from '../lib/clock.ts'

/** Where an object was written down. */
export type Origin =
  /** `file` as a person would name it (relative to the working directory where it lies below), `line` from 1. */
  { readonly file: string; readonly line: number } | { readonly cluster: true }

/** A position in a file; `line` and `column` count from 1. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
  readonly column: number
}

export type SourceEvent =
  | {
      readonly type: 'upsert'
      readonly kind: Kind
      /** `namespace/name`; a Namespace belongs to none: `/name`. */
      readonly key: string
      /**
       * The object as it was written, with `apiVersion`, `kind`, `metadata.name` and `metadata.namespace` known to be
       * there and to be strings; everything else is for validation to judge. A Secret's `stringData` is already
       * folded into `data`. Nobody changes it any more: the source compares with it later.
       */
      readonly raw: unknown
      readonly origin: Origin
      readonly seen?: Milliseconds
    }
  | {
      readonly type: 'delete'
      readonly kind: Kind
      readonly key: string
      /** When the source read of it, monotonic, where it knows: what takes time from then on is ours. */
      readonly seen?: Milliseconds
    }

/** What a source itself can find wrong, before any object is validated. */
export type SourceProblemReason =
  /** The folder is not there; its last content keeps serving. */
  | 'FolderMissing'
  /** Not allowed to read; the last content keeps serving. */
  | 'Unreadable'
  /** Larger than the limit. */
  | 'TooLarge'
  /** Not text, or not UTF-8. */
  | 'NotText'
  /** Not YAML or JSON, perhaps half-written. */
  | 'Syntax'
  /** A file that had content has none any more: half-written, or the disk was full. Its last content keeps serving. */
  | 'Empty'
  /** Parses, but is not a Kubernetes object: `apiVersion`, `kind` or `metadata.name` missing or of the wrong type. */
  | 'NotAnObject'
  /** A kind that Headgate does not read. */
  | 'UnknownKind'
  /** Another file or document has defined the same object before. */
  | 'DefinedTwice'
  /** A scalar that kubectl, which reads YAML 1.1, would take for something else. */
  | 'ReadDifferently'
  /** A symbolic link that leads nowhere or to itself, or a folder reached twice. */
  | 'BrokenLink'
  /** Changes are found by polling because the system gives no (more) notifications. */
  | 'WatchUnavailable'
  /** The API server cannot be reached or refuses (Kubernetes only). */
  | 'ClusterUnavailable'
  /** Not everything was read since the start; what an earlier process knew serves instead (Kubernetes only). */
  | 'RememberedState'
  /** Our role does not let us read a kind (Kubernetes only). */
  | 'Forbidden'
  /** The API server does not know a kind: its CustomResourceDefinition is missing (Kubernetes only). */
  | 'KindMissing'

/** One thing that is wrong with what a source reads, at a place a person can find. */
export interface SourceProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  /** What is wrong, what serves meanwhile and what to do. Without the place. */
  readonly message: string
  /** Absent where no file is concerned. A file as a whole has line 1, column 1. */
  readonly place?: SourceLocation
  /** What cannot be read, where it is one kind. */
  readonly kind?: Kind
  /** The object concerned, where it is known. */
  readonly object?: { readonly kind: string; readonly key: string }
}

export interface SourceHandler {
  /** What is different, never empty, at most one event an object. One call for a whole burst of changes. */
  changed(events: SourceEvent[]): void
  /** Once, after the `changed` that carries everything there was at the start (none where there was nothing). */
  synced(): void
  /** The complete current list, each time it differs from the one said before; empty = all is well again. */
  problems(list: SourceProblem[]): void
}

/**
 * What something refers to: by kind, the keys of the objects. A cluster holds far more of the kinds that are not always
 * read than we have any business with, so only what is named here is read; of a kind that is read by a label (endpoint
 * slices), what belongs to the objects named here; of a kind that is read as a whole, all as soon as any is named.
 */
export type Interest = ReadonlyMap<string, ReadonlySet<string>>

/**
 * Where resources come from: a folder, or an API server. A source never throws after `start` and never forgets what
 * it has read because it cannot be read any more: absence must be seen, not inferred from a failure.
 */
export interface Source {
  /** Begins to read and to watch. Events arrive in later turns of the event loop, none before this returns. */
  start(handler: SourceHandler): void
  /**
   * From now on this is what is referred to; nothing else of these kinds is told, and what is not needed any more is
   * deleted. Before the first call nothing is needed. `synced` waits for what is named by the time `changed` has
   * returned for the objects that name it. A source that reads everything anyway has no such method.
   */
  interest?(interest: Interest): void
  /**
   * Whether it has read what there is of an object, so that one it has not told is not there. A source that reads
   * everything anyway has no such method.
   *
   * @param subject name by which the object is asked for; of an EndpointSlice, its Service
   */
  knows?(kind: Kind, key: string, subject: string): boolean
  /** Resolves when nothing is open any more. No call reaches the handler from the moment this is called. */
  stop(): Promise<void>
  /**
   * Where the value at `path` of an object stands, or the nearest place around it when the path is missing;
   * `undefined` for an object that did not come from a file (or not any more). Slow (parses the file again): for
   * problems only.
   */
  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined
}
