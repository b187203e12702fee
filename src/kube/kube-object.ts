/** Objects of the Kubernetes API, as far as Sluice reads them; the API server has checked them against their schema. */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly resourceVersion?: string;
  /** There from the moment when somebody deleted the object, while its containers still run. */
  readonly deletionTimestamp?: string;
}

/** What every object has. */
export interface KubeObject {
  readonly metadata: ObjectMeta;
}

/** A part of a list. */
export interface KubePage<O extends KubeObject> {
  readonly items: readonly O[];
  /** The state of the API that the whole list shows: a watch continues from here. */
  readonly resourceVersion: string;
}

/** One change, or a bookmark: an object that holds nothing but the resourceVersion that the watch has come to. */
export interface WatchEvent<O extends KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: O;
}
