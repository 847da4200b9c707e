/** The common part of all resources, from an API server or a file. */
export interface ObjectMeta {
  readonly name: string
  /** Always set after validation: `default` in a folder where none is given. */
  readonly namespace: string
  readonly uid?: string
  readonly generation?: number
  readonly resourceVersion?: string
  /** RFC 3339; absent in a folder. */
  readonly creationTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly deletionTimestamp?: string
}

export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/** `namespace/name`. */
export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace}/${object.metadata.name}`
}

/** One problem of an object, with its field path. */
export interface FieldProblem {
  /** Path into the object: property names and list indexes. */
  readonly path: readonly (string | number)[]
  /**
   * From the closed list; `NotImplemented` for a field of the API whose behaviour this build does not have, `TooCostly`
   * for what costs more than one object may (cost.ts), `Quarantined` for a version at which the control thread ended,
   * `MemoryBudget` for a valid object that there is no memory for.
   */
  readonly reason:
    | 'Required'
    | 'Unknown'
    | 'Type'
    | 'Invalid'
    | 'TooLong'
    | 'Duplicate'
    | 'NotImplemented'
    | 'MemoryBudget'
    | 'TooCostly'
    | 'Quarantined'
  /** The problem and its remedy, in one or two sentences, without the path. */
  readonly message: string
}

/** `spec.rules[0].matches[1].path.value` */
export function formatPath(path: readonly (string | number)[]): string {
  let text = ''
  for (const step of path)
    text +=
      typeof step === 'number'
        ? `[${step}]`
        : /^[A-Za-z_][\w-]{0,99}$/.test(step)
          ? (text && '.') + step
          : `[${JSON.stringify(step.length > 100 ? `${step.slice(0, 100)}…` : step)}]`
  return text
}
