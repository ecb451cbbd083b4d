-- The database itself refuses an illegal change of state, whoever asks for it.

CREATE TRIGGER object_transition BEFORE UPDATE ON objectlink.object
  FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
  EXECUTE FUNCTION objectlink.check_transition();
CREATE TRIGGER object_removal BEFORE DELETE ON objectlink.object
  FOR EACH ROW WHEN (OLD.state <> 'deleting')
  EXECUTE FUNCTION objectlink.check_transition();
