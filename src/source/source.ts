import type { Kind } from '../api/kinds.ts'
import type { Milliseconds } from '../lib/clock.ts'

/** Where an object is defined. */
export type Origin =
  /** `file` is a display path (relative to the working directory where it is below it), `line` counts from 1. */
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
       * The object as written. `apiVersion`, `kind`, `metadata.name` and `metadata.namespace` are strings; everything
       * else is not validated. A Secret's `stringData` is merged into `data`. Immutable: the source compares with it
       * later.
       */
      readonly raw: unknown
      readonly origin: Origin
      readonly seen?: Milliseconds
    }
  | {
      readonly type: 'delete'
      readonly kind: Kind
      readonly key: string
      /** When the source read the change (monotonic), where known: the start of its latency. */
      readonly seen?: Milliseconds
    }

/** Problems that a source reports, before any object is validated. */
export type SourceProblemReason =
  /** The folder does not exist; its last content keeps serving. */
  | 'FolderMissing'
  /** Reading is not permitted; the last content keeps serving. */
  | 'Unreadable'
  /** Larger than the limit. */
  | 'TooLarge'
  /** Not text, or not UTF-8. */
  | 'NotText'
  /** Not YAML or JSON, perhaps half-written. */
  | 'Syntax'
  /** A file with content became empty: half-written, or the disk was full. Its last content keeps serving. */
  | 'Empty'
  /** Parses, but is not a Kubernetes object: `apiVersion`, `kind` or `metadata.name` missing or of the wrong type. */
  | 'NotAnObject'
  /** A kind that Headgate does not read. */
  | 'UnknownKind'
  /** Another file or document, which takes precedence, defines the same object. */
  | 'DefinedTwice'
  /** A scalar that kubectl, which reads YAML 1.1, interprets differently. */
  | 'ReadDifferently'
  /** A certificate without its key beside it, or a key without its certificate: neither is read. */
  | 'Unpaired'
  /** A symbolic link without a target or to itself, or a folder reached twice. */
  | 'BrokenLink'
  /** Changes are detected by polling, because the system reports none. */
  | 'WatchUnavailable'
  /** The API server is unreachable or rejects requests (Kubernetes only). */
  | 'ClusterUnavailable'
  /** The cluster has not been read completely since the start; a checkpoint is served (Kubernetes only). */
  | 'RememberedState'
  /** The role does not permit reading a kind (Kubernetes only). */
  | 'Forbidden'
  /** The API server has no such kind: its CustomResourceDefinition is missing (Kubernetes only). */
  | 'KindMissing'

/** A problem of a source, with its location. */
export interface SourceProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  /** The cause, what serves in the meantime, and the remedy. Without the location. */
  readonly message: string
  /** Absent without a file. A problem of a whole file has line 1, column 1. */
  readonly location?: SourceLocation
  /** The kind that cannot be read. */
  readonly kind?: Kind
  /** The object, where it is known. */
  readonly object?: { readonly kind: string; readonly key: string }
}

export interface SourceHandler {
  /** Changes: never empty, at most one event per object, one call for a burst. */
  changed(events: SourceEvent[]): void
  /** Called once, after the `changed` with all objects present at the start. */
  synced(): void
  /** The complete current list, whenever it changes; empty when there is no problem any more. */
  problems(list: SourceProblem[]): void
}

/**
 * The keys of the referenced objects by kind. Of kinds that are not always read, a source reads only the objects named
 * here; of a kind that is read by a label (endpoint slices), the objects that belong to those named here; of a kind
 * that is read as a collection, all objects as soon as one is named.
 */
export type Interest = ReadonlyMap<string, ReadonlySet<string>>

/**
 * The source of resources: a folder, or an API server. A source never throws after `start` and never deletes an object
 * because a read fails: an absence must be observed, not inferred from a failure.
 */
export interface Source {
  /** Starts to read and to watch. Events arrive in later turns of the event loop, none before this returns. */
  start(handler: SourceHandler): void
  /**
   * Replaces the set of referenced objects: only these are delivered, and others are deleted. Empty before the first
   * call. `synced` waits for the objects named by the time `changed` has returned for the objects that refer to them.
   * Absent for a source that reads everything.
   */
  interest?(interest: Interest): void
  /**
   * Whether the object has been read, so that an object that was not delivered does not exist. Absent for a source
   * that reads everything.
   *
   * @param subject name by which the object is requested; for an EndpointSlice, its Service
   */
  hasSynced?(kind: Kind, key: string, subject: string): boolean
  /** Closes everything. The handler is not called from the moment of the call. */
  stop(): Promise<void>
  /**
   * Location of the value at `path` of an object, or of its nearest parent when the path is missing; `undefined` for
   * an object that is not from a file (any more). Slow, since it parses the file again: for problems only.
   */
  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined
}
